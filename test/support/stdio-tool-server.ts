// A server over stdio, which a test starts as a command. Its tools do what servers should not.
import { Server } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

/** Writes a line without an end, as fast as it is read. */
function flood(): void {
  if (process.stdout.write('x'.repeat(65_536))) setImmediate(flood);
  else process.stdout.once('drain', flood);
}

serveStdio(() => {
  const server = new Server({ name: 'of-a-test', version: '1' }, { capabilities: { tools: {} } });
  const tools = ['size', 'flood', 'exit', 'env'].map((name) => ({ name, inputSchema: { type: 'object' as const } }));
  server.setRequestHandler('tools/list', () => ({ tools }));
  server.setRequestHandler('tools/call', async ({ params: { name, arguments: args = {} } }) => {
    if (name === 'flood') {
      flood();
      await new Promise(() => {});
    }
    if (name === 'exit') process.exit(3);
    const text = name === 'env' ? JSON.stringify(process.env) : 'x'.repeat(Number(args['bytes']));
    return { content: [{ type: 'text', text }] };
  });
  return server;
});
