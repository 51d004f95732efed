import { about, text, whole } from './value-types.ts';

export const tools = {
  tools: about(
    text.optional(),
    'File of MCP servers whose tools code may call: the "mcpServers" that MCP clients have, with more fields.',
    '/etc/glovebox/tools.json',
    'code calls no tools',
  ),
  tools_stdio: about(
    whole(0, 1).default(0),
    'Whether that file may name commands (1). They run beside the control plane, with its rights, and not in a sandbox.',
    '1',
  ),
};
