/**
 * Hosts of a network: the web server of tests at several addresses. A program of its own, so that it runs in a network.
 * `host.ts ADDRESSES NAMES`. It answers each line on stdin with the requests and connections that it has seen so far.
 */
import { createInterface } from 'node:readline';
import { startWebServer } from '../web-server.ts';

const [addresses = '', names = ''] = process.argv.slice(2);
const place = { addresses: addresses.split(','), ports: { http: 80, https: 443 }, names: names.split(',') };
const seen: string[] = [];
const web = await startWebServer(
  ({ url = '' }, response) => {
    const to = /^\/moved\/(.+)$/.exec(url)?.[1];
    if (to !== undefined) response.writeHead(302, { Location: decodeURIComponent(to) }).end();
    return to !== undefined;
  },
  { ...place, onConnection: (at) => seen.push(at) },
);
process.stdout.write(`${JSON.stringify({ certificate: web.certificate })}\n`);
createInterface(process.stdin).on('line', () => process.stdout.write(`${JSON.stringify({ seen })}\n`));
