#!/usr/bin/env bash
# Makes sure that there is a Chromium for the end-to-end tests: Debian's package, or whatever is on the PATH.
set -euo pipefail
command -v chromium >/dev/null && exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
	echo "== Chromium from the distribution's packages"
	export DEBIAN_FRONTEND=noninteractive
	"${as_root[@]}" apt-get update -qq </dev/null
	"${as_root[@]}" apt-get install -qq -y --no-install-recommends chromium </dev/null >/dev/null
	command -v chromium >/dev/null && exit 0
fi
echo "The end-to-end tests need Chromium on the PATH as 'chromium'. On Debian: sudo apt-get install chromium" >&2
exit 1
