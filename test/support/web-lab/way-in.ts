/** Passes connections to a socket of the file system on to a port of this network's loopback. `way-in.ts SOCKET PORT` */
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

const [path = '', port = ''] = process.argv.slice(2);
createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true });
  pipeline(near, far, near, () => {
    near.destroy();
    far.destroy();
  });
}).listen(path, () => process.stdout.write('ready\n'));
