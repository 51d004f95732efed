import { join } from 'node:path';
import { type ClientPlaces, KEY_VARIABLE } from '../config/client-places.ts';
import {
  bridgeEntry,
  type Connection,
  commandEntry,
  type Entry,
  type HttpConnection,
  IN_BRACES,
  keyHeaders,
  OF_ENVIRONMENT,
} from './connection.ts';

/** An MCP client, and how its configuration names a server. */
export interface Client {
  readonly id: string;
  readonly title: string;
  readonly format: 'json' | 'toml' | 'yaml';
  /** Keys of the file below which servers stand. */
  readonly parent: readonly string[];
  /** File for all work of the user. Undefined if there is none. */
  readonly userFile?: (places: ClientPlaces) => string;
  /** File for one project, relative to its folder. Undefined if there is none. */
  readonly projectFile?: string;
  entry(connection: Connection, name: string): Entry;
  /** What to do for the client to see the server. */
  readonly next: string;
}

/** Time that clients are told to wait for an answer, in seconds: longer than a call may take by default. */
const CALL_LIMIT_S = 150;

const MCP_SERVERS = ['mcpServers'] as const;

/** A client with `{url, headers}` for HTTP. @param variable how it names a variable of its environment */
function urlEntry(http: HttpConnection, variable: string, key = 'url'): Entry {
  return { [key]: http.url, ...keyHeaders(http, variable) };
}

/** All, in the order in which they are listed. The source of each format is the client's own documentation. */
export const CLIENTS: readonly Client[] = [
  {
    // https://code.claude.com/docs/en/mcp, tried with @anthropic-ai/claude-code 2.1.332
    id: 'claude-code',
    title: 'Claude Code',
    format: 'json',
    parent: MCP_SERVERS,
    userFile: ({ claude, home }) => join(claude ?? home, '.claude.json'),
    projectFile: '.mcp.json',
    entry: (to) =>
      to.kind === 'stdio' ? { type: 'stdio', ...commandEntry(to) } : { type: 'http', ...urlEntry(to, IN_BRACES) },
    next: 'Start claude anew; /mcp lists the server.',
  },
  {
    // https://modelcontextprotocol.io/docs/develop/connect-local-servers
    id: 'claude-desktop',
    title: 'Claude Desktop',
    format: 'json',
    parent: MCP_SERVERS,
    userFile: ({ applications }) => join(applications, 'Claude', 'claude_desktop_config.json'),
    entry: (to) => (to.kind === 'stdio' ? commandEntry(to) : bridgeEntry(to)),
    next: 'Quit Claude Desktop and open it anew; the tools are behind the "+" of the message box, under Connectors.',
  },
  {
    // https://code.visualstudio.com/docs/copilot/reference/mcp-configuration
    id: 'vscode',
    title: 'VS Code',
    format: 'json',
    parent: ['servers'],
    userFile: ({ applications }) => join(applications, 'Code', 'User', 'mcp.json'),
    projectFile: join('.vscode', 'mcp.json'),
    entry: (to) =>
      to.kind === 'stdio' ? { type: 'stdio', ...commandEntry(to) } : { type: 'http', ...urlEntry(to, OF_ENVIRONMENT) },
    next: 'Run "MCP: List Servers" of the command palette, and start it there.',
  },
  {
    // https://cursor.com/docs/mcp
    id: 'cursor',
    title: 'Cursor',
    format: 'json',
    parent: MCP_SERVERS,
    userFile: ({ home }) => join(home, '.cursor', 'mcp.json'),
    projectFile: join('.cursor', 'mcp.json'),
    entry: (to) => (to.kind === 'stdio' ? commandEntry(to) : urlEntry(to, OF_ENVIRONMENT)),
    next: 'Open the settings of Cursor, Tools & MCP, and switch the server on.',
  },
  {
    // https://docs.windsurf.com/windsurf/cascade/mcp
    id: 'windsurf',
    title: 'Windsurf',
    format: 'json',
    parent: MCP_SERVERS,
    userFile: ({ home }) => join(home, '.codeium', 'windsurf', 'mcp_config.json'),
    entry: (to) => (to.kind === 'stdio' ? commandEntry(to) : urlEntry(to, OF_ENVIRONMENT, 'serverUrl')),
    next: 'Press the refresh button of the MCP servers in Cascade.',
  },
  {
    // https://developers.openai.com/codex/mcp, tried with @openai/codex 0.171.0
    id: 'codex',
    title: 'Codex',
    format: 'toml',
    parent: ['mcp_servers'],
    userFile: ({ codex, home }) => join(codex ?? join(home, '.codex'), 'config.toml'),
    projectFile: join('.codex', 'config.toml'),
    entry: (to) => ({
      ...(to.kind === 'stdio'
        ? commandEntry(to)
        : { url: to.url, ...(to.asksForKey ? { bearer_token_env_var: KEY_VARIABLE } : {}) }),
      tool_timeout_sec: CALL_LIMIT_S,
    }),
    next: 'Start codex anew; /mcp lists the server. A file of a project counts only in a project that is trusted.',
  },
  {
    // docs/tools/mcp-server.md of @google/gemini-cli 0.61.0, tried with the same
    id: 'gemini-cli',
    title: 'Gemini CLI',
    format: 'json',
    parent: MCP_SERVERS,
    userFile: ({ home }) => join(home, '.gemini', 'settings.json'),
    projectFile: join('.gemini', 'settings.json'),
    entry: (to) => (to.kind === 'stdio' ? commandEntry(to) : urlEntry(to, IN_BRACES, 'httpUrl')),
    next: 'Start gemini anew in a folder that is trusted; /mcp lists the server.',
  },
  {
    // documentation/docs/guides/config-files.md of the repository of Goose
    id: 'goose',
    title: 'Goose',
    format: 'yaml',
    parent: ['extensions'],
    userFile: ({ platform, applications, xdg }) =>
      platform === 'win32'
        ? join(applications, 'Block', 'goose', 'config', 'config.yaml')
        : join(xdg, 'goose', 'config.yaml'),
    entry: gooseEntry,
    next: 'Start a new session of Goose.',
  },
  {
    // packages/data-provider/src/mcp.ts of the repository of LibreChat, tried with librechat-data-provider 0.8.524
    id: 'librechat',
    title: 'LibreChat',
    format: 'yaml',
    parent: MCP_SERVERS,
    projectFile: 'librechat.yaml',
    entry: (to) => ({
      ...(to.kind === 'stdio'
        ? { type: 'stdio', ...commandEntry(to) }
        : { type: 'streamable-http', ...urlEntry(to, IN_BRACES) }),
      timeout: CALL_LIMIT_S * 1000,
    }),
    next:
      'Start LibreChat anew. It connects to an address of this machine or of a private network only if ' +
      'mcpSettings.allowedAddresses has it; in a container this machine is host.docker.internal.',
  },
  {
    // https://docs.openwebui.com/features/mcp
    id: 'open-webui',
    title: 'Open WebUI',
    format: 'json',
    parent: [],
    entry: openWebuiEntry,
    next:
      'Open WebUI keeps its connections in its database: import this under Admin Settings, External Tools, or set ' +
      'TOOL_SERVER_CONNECTIONS to it before the first start. In a container this machine is host.docker.internal.',
  },
];

function gooseEntry(to: Connection, name: string): Entry {
  const common = { enabled: true, name, description: 'Runs Python in sandboxes', timeout: 300 };
  if (to.kind === 'stdio')
    return { ...common, type: 'stdio', cmd: to.command, args: [...to.args], envs: { ...to.env }, env_keys: [] };
  return {
    ...common,
    type: 'streamable_http',
    uri: to.url,
    ...keyHeaders(to, IN_BRACES),
    envs: {},
    env_keys: to.asksForKey ? [KEY_VARIABLE] : [],
  };
}

/** @throws TypeError for stdio, which Open WebUI has not */
function openWebuiEntry(to: Connection, name: string): Entry {
  if (to.kind === 'stdio') throw new TypeError('Open WebUI starts no servers.');
  return {
    type: 'mcp',
    url: to.url,
    path: '',
    auth_type: to.asksForKey ? 'bearer' : 'none',
    key: to.asksForKey ? 'YOUR_KEY' : '',
    config: { enable: true },
    info: { id: name, name: 'Glovebox', description: 'Runs Python in sandboxes' },
  };
}
