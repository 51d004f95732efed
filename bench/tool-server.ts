/** A small MCP server with one tool, as a process of its own. Prints its address; ends with its standard input. */
import { startToolServer, textResult } from '../test/support/tool-server.ts';

const { url } = await startToolServer({
  speaks: 'modern',
  tools: () => [
    {
      name: 'echo',
      description: 'Returns a text.',
      inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
      run: ({ text }) => textResult(String(text)),
    },
  ],
});
process.stdout.write(`${url}\n`);
process.stdin.resume().on('end', () => process.exit());
