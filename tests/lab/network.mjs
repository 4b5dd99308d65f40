// A PLC directory and PDSes in one process, on loopback only. usage: node network.mjs CONFIG.json
//
// Config: modules (folder of node_modules), package (the PDS's name there), data (folder, made anew unless keep), plcPort,
// plcRuns (a directory is there already), pds: [{hostname, port, handles, tls?}],
// accounts: [{pds, handle, password, displayName?}], tls: {cert, key}, names: {"host:port": port on loopback}.
// A PDS without TLS listens on its own port; those with TLS share `port` and are told apart by Host.
// Prints one JSON line when ready: {"ready": true, "accounts": {handle: did}}.
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { createRequire } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const require = createRequire(path.join(config.modules, 'package.json'))

// Names without DNS: a connection to "host:port" goes to a port on loopback. TLS keeps the name it was asked for.
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  const normalized = Array.isArray(args[0]) ? args[0] : args
  const { host, port } = normalized[0] ?? {}
  const mapped = config.names?.[`${host}:${port}`]
  if (mapped) normalized[0] = { ...normalized[0], host: '127.0.0.1', port: mapped }
  return connect.apply(this, args)
}

// Node resolves "localhost" to either family, so both are listened on.
const listen = async (server, port) => {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}
const listenTwice = async (handler, port) => {
  await listen(http.createServer(handler), port)
  const v6 = http.createServer(handler).listen(port, '::1')
  v6.on('error', () => {}) // a machine without IPv6
}

// @did-plc/server 0.0.1 serves an old shape of document; this is the public directory's.
const document = (did, op) => ({
  '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
  id: did,
  alsoKnownAs: op.alsoKnownAs,
  verificationMethod: Object.entries(op.verificationMethods).map(([id, key]) => ({
    id: `${did}#${id}`,
    type: 'Multikey',
    controller: did,
    publicKeyMultibase: key.replace('did:key:', ''),
  })),
  service: Object.entries(op.services).map(([id, service]) => ({
    id: `#${id}`,
    type: service.type,
    serviceEndpoint: service.endpoint,
  })),
})
const startPlc = async () => {
  const { PlcServer, Database } = require('@did-plc/server')
  const plc = PlcServer.create({ db: Database.mock(), port: 0 })
  await listenTwice(async (req, res) => {
    const did = /^\/(did:plc:[a-z2-7]{24})$/.exec(decodeURIComponent(req.url))?.[1]
    const op = req.method === 'GET' && did && (await plc.ctx.db.lastOpForDid(did))
    if (op?.type !== 'plc_operation') return plc.app(req, res)
    res.writeHead(200, { 'content-type': 'application/did+ld+json' })
    res.end(JSON.stringify(document(did, op)))
  }, config.plcPort)
}
if (!config.plcRuns) await startPlc()

const startPds = async ({ hostname, port, handles, tls }) => {
  const { PDS, envToCfg, envToSecrets, readEnv } = await import(pathToFileURL(require.resolve(config.package)))
  const data = path.join(config.data, hostname)
  if (!config.keep) fs.rmSync(data, { recursive: true, force: true })
  fs.mkdirSync(path.join(data, 'blobs'), { recursive: true })
  Object.assign(process.env, {
    PDS_HOSTNAME: hostname,
    PDS_PORT: tls ? '0' : String(port),
    PDS_DATA_DIRECTORY: data,
    PDS_BLOBSTORE_DISK_LOCATION: path.join(data, 'blobs'),
    PDS_DID_PLC_URL: `http://localhost:${config.plcPort}`,
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: '11'.repeat(32),
    PDS_JWT_SECRET: `jwt secret of ${hostname}`,
    PDS_ADMIN_PASSWORD: 'lab-admin',
    PDS_INVITE_REQUIRED: 'false',
    PDS_DISABLE_SSRF_PROTECTION: 'true',
    PDS_DEV_MODE: 'true',
    PDS_SERVICE_HANDLE_DOMAINS: handles,
  })
  const env = readEnv()
  const pds = await PDS.create(envToCfg(env), envToSecrets(env))
  await pds.ctx.sequencer.start() // pds.start() does it too, but listens on every interface
  return pds
}

const origin = ({ hostname, port, tls }) => (tls ? `https://${hostname}` : `http://${hostname}:${port}`)
const secure = new Map()
for (const entry of config.pds) {
  const pds = await startPds(entry)
  if (entry.tls) secure.set(entry.hostname, pds)
  else await listenTwice(pds.app, entry.port)
}
if (secure.size) {
  const options = { cert: fs.readFileSync(config.tls.cert), key: fs.readFileSync(config.tls.key) }
  const byHost = (req, res) => {
    const host = (req.headers.host ?? '').split(':')[0]
    for (const [name, pds] of secure) if (host === name || host.endsWith(`.${name}`)) return pds.app(req, res)
    res.writeHead(421).end()
  }
  await listen(https.createServer(options, byHost), config.pds.find((entry) => entry.tls).port)
}

const call = async (base, method, body, token) => {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  const answer = await fetch(`${base}/xrpc/${method}`, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${method}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}
const accounts = {}
for (const { pds, handle, password, displayName } of config.accounts) {
  const base = origin(config.pds.find((entry) => entry.hostname === pds))
  const email = `${handle.split('.')[0]}@mail.test`
  const { did, accessJwt } = await call(base, 'com.atproto.server.createAccount', { handle, password, email })
  accounts[handle] = did
  const record = { $type: 'app.bsky.actor.profile', displayName }
  const where = { repo: did, collection: 'app.bsky.actor.profile', rkey: 'self' }
  if (displayName) await call(base, 'com.atproto.repo.putRecord', { ...where, record }, accessJwt)
}
console.log(JSON.stringify({ ready: true, accounts }))

process.on('SIGTERM', () => process.exit(0)) // a graceful stop hangs
