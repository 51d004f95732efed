#!/bin/bash
# dockerode's createContainer gives no way to the warnings with which an engine says that it dropped a limit.
#
# Guess: what `POST /containers/create` answers, {Id, Warnings}, can be read from what createContainer resolves to, or
#   is a further argument of its callback: the list of warnings is the one place where Docker says "Limitation discarded".
# Versions: Node 22 and later; dockerode 5.0.1 (July 2026).
# Behaviour: the promise and the callback have a Container with the id alone; the warnings are nowhere in it.
# Output seen:
#   promise: id c0ffee, warnings nowhere
#   callback: id c0ffee, warnings nowhere, 2 arguments
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund dockerode@5.0.1
cat > create.mjs <<'CODE'
import { createServer } from 'node:http';
import Docker from 'dockerode';

const WARNING = 'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.';
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(201, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ Id: 'c0ffee', Warnings: [WARNING] }));
  });
}).listen(0, '127.0.0.1', async () => {
  const docker = new Docker({ protocol: 'http', host: '127.0.0.1', port: server.address().port });
  const options = () => ({ Image: 'x', HostConfig: { Memory: 2 ** 26 } });
  const tell = (container) => `id ${container.id}, warnings ${reaches(container) ? 'there' : 'nowhere'}`;
  console.log(`promise: ${tell(await docker.createContainer(options()))}`);
  docker.createContainer(options(), (...answer) => {
    console.log(`callback: ${tell(answer[1])}, ${answer.length} arguments`);
    server.close();
    server.closeAllConnections();
  });
});

function reaches(value, seen = new Set()) {
  if (value === WARNING) return true;
  if (typeof value !== 'object' || value === null || seen.has(value)) return false;
  seen.add(value);
  return Object.values(value).some((part) => reaches(part, seen));
}
CODE
node create.mjs | tee seen
grep -qx 'promise: id c0ffee, warnings nowhere' seen
grep -qx 'callback: id c0ffee, warnings nowhere, 2 arguments' seen
