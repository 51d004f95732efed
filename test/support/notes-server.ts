import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunningToolServer, startToolServer, textResult } from './tool-server.ts';

/** A real MCP server with a tool that writes, and one that reads. */
export interface NotesServer extends AsyncDisposable {
  /** What was written, in order. */
  readonly written: string[];
  /** Settings with which a control plane lets code call it, as `tools.notes`. */
  settings(stateDir: string): Record<string, string>;
}

const NOTE = { type: 'object' as const, properties: { text: { type: 'string' } }, required: ['text'] };

export async function startNotes(): Promise<NotesServer> {
  const written: string[] = [];
  const write = (args: Record<string, unknown>) => {
    written.push(String(args['text']));
    return textResult('written');
  };
  const server: RunningToolServer = await startToolServer({
    tools: () => [
      { name: 'write', description: 'Writes a note.', inputSchema: NOTE, run: write },
      { name: 'erase', description: 'Erases a note.', inputSchema: NOTE, run: write },
      {
        name: 'count',
        description: 'Counts the notes.',
        annotations: { readOnlyHint: true },
        run: () => textResult(String(written.length)),
      },
    ],
  });
  return {
    written,
    settings: (stateDir) => {
      const file = join(stateDir, 'tools.json');
      const approve = { erase: 'always', '*': 'writes' };
      const notes = { url: server.url, owners: ['*'], default: true, trusted: true, approve };
      writeFileSync(file, JSON.stringify({ mcpServers: { notes } }));
      return { GLOVEBOX_TOOLS: file };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Code that writes notes, one after the other, and says what became of each. */
export function writing(...texts: string[]): string {
  return `import tools
for text in ${JSON.stringify(texts)}:
    try:
        print(tools.notes.write(text=text))
    except tools.ToolError as error:
        print(error.code)
print(tools.notes.count(), "in all")
`;
}
