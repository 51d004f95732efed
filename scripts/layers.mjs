/**
 * Who may import whom in `src/`: each folder or file may import itself, `errors.ts`, `log.ts`, and what stands beside it
 * here. A name means a folder, or the file of that name at the top of `src/`; `a/b.ts` means that one file; `type:` before
 * it allows imports of types alone. What stands nowhere may be imported by nobody else.
 */
export const LAYERS = {
  errors: [],
  log: [],
  version: [],
  lib: [],
  approvals: ['lib'],
  tar: ['lib'],
  execution: ['type:approvals', 'lib'],
  protocol: ['execution', 'lib'],
  scheduling: ['execution', 'lib'],
  files: ['execution', 'tar', 'lib'],
  sandbox: ['protocol', 'scheduling', 'execution', 'lib'],
  archives: ['sandbox', 'files', 'scheduling', 'execution', 'lib'],
  sessions: ['archives', 'sandbox', 'files', 'type:protocol', 'scheduling', 'execution', 'tar', 'lib'],
  packages: ['lib'],
  broker: ['packages/upstream', 'packages/index/host-indexes.ts', 'type:approvals', 'type:execution', 'lib'],
  probe: ['sandbox', 'version', 'lib'],
  engines: [
    'sandbox/engine.ts',
    'sandbox/assurances.ts',
    'sandbox/disk-sizes.ts',
    'packages/index/host-indexes.ts',
    'lib',
  ],
  tools: ['broker/python-names.ts', 'type:broker', 'type:approvals', 'sessions', 'files', 'execution', 'lib'],
  config: ['sandbox/assurances.ts', 'lib'],
  'client-config': ['config/client-places.ts', 'lib'],
  'glovebox-figures': ['type:sandbox', 'type:scheduling'],
  'glovebox-settings': ['type:engines', 'type:sessions', 'type:archives', 'type:sandbox', 'type:scheduling'],
  'glovebox-tunnels': ['type:broker', 'type:packages', 'type:protocol', 'type:sessions'],
  glovebox: [
    'glovebox-settings',
    'glovebox-tunnels',
    'type:glovebox-figures',
    'approvals',
    'engines',
    'probe',
    'packages',
    'broker',
    'sessions',
    'archives',
    'sandbox',
    'files',
    'scheduling',
    'execution',
    'lib',
    'type:config',
    'version',
  ],
  library: ['glovebox', 'config', 'sessions', 'files', 'execution', 'lib'],
  client: ['library', 'sessions/instance.ts', 'config', 'execution', 'lib'],
  index: ['library', 'type:sessions', 'type:files', 'type:execution'],
  http: ['approvals', 'tools', 'sessions', 'files', 'execution', 'type:glovebox-figures', 'lib'],
  mcp: ['type:approvals', 'tools', 'sessions', 'files', 'execution', 'type:glovebox', 'lib'],
  'mcp-tools': ['glovebox', 'mcp', 'tools', 'type:config', 'version'],
  server: ['approvals', 'glovebox', 'http', 'mcp', 'mcp-tools', 'tools', 'type:config', 'lib', 'version'],
  'stdio-server': ['glovebox', 'mcp', 'mcp-tools', 'sessions', 'type:config'],
  load: ['server', 'glovebox', 'sessions', 'scheduling', 'http', 'mcp'],
  commands: [
    'client',
    'load',
    'server',
    'stdio-server',
    'glovebox',
    'client-config',
    'config',
    'engines',
    'packages',
    'broker',
    'sessions/caller.ts',
    'http/auth',
    'http/listen.ts',
    'type:execution',
    'lib',
    'version',
  ],
  cli: ['commands'],
};

/** Packages that only some folders may import; any other that `package.json` lists is free to all. */
export const PACKAGES = {
  dockerode: ['engines/docker'],
  'tar-stream': ['engines/docker'],
  hono: ['http', 'mcp'],
  '@hono/node-server': ['http'],
  '@modelcontextprotocol/server': ['mcp'],
  '@modelcontextprotocol/client': ['broker'],
};

/** Source files of one folder, tests aside. */
export const MOST_FILES = 25;
/** Lines of one source file, tests aside. */
export const MOST_LINES = 350;
