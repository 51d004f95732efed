import { startProtocolServer, echoTool } from '/work/main/test/protocol-server.ts';
import http from 'node:http';
const s = await startProtocolServer({ });
if (process.argv[2]==='serve') { process.stderr.write(s.url+'\n'); setTimeout(()=>process.exit(0), 120000); }
