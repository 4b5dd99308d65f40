// One GET over cleartext HTTP/2: node http2.mjs PORT PATH '[["name", "value"], …]'. Prints {"status", "body"}.
import http2 from "node:http2";

const [port, path, headers] = process.argv.slice(2);
const session = http2.connect(`http://127.0.0.1:${port}`);
const sent = { ":path": path };
for (const [name, value] of JSON.parse(headers)) (sent[name.toLowerCase()] ??= []).push(value);
for (const name in sent) if (sent[name].length === 1) sent[name] = sent[name][0];
const request = session.request(sent);
let status, body = "";
request.on("response", (answer) => (status = answer[":status"]));
request.setEncoding("utf8");
request.on("data", (part) => (body += part));
request.on("end", () => {
  console.log(JSON.stringify({ status, body }));
  session.close();
});
session.on("error", (error) => { console.error(error); process.exit(1); });
request.end();
