/**
 * Outside tests that run in a cluster as they run on Docker. What they see of sandboxes besides the product's own answers,
 * `test/support/server.ts` asks of either engine.
 */
export const EITHER_ENGINE = [
  ...['readme', 'bad-input', 'contexts', 'background', 'install', 'output', 'processes', 'terminals'].map(
    (name) => `test/api/${name}.test.ts`,
  ),
  ...['adoption', 'archives', 'owners', 'pool'].map((name) => `test/sessions/${name}.test.ts`),
];

/**
 * More of them, for the night: what they test is above the engines, so that a cluster has failed none of them that Docker
 * had not.
 */
export const EITHER_ENGINE_AT_NIGHT = [
  ...['tools', 'preload', 'preload-ahead', 'shells', 'commands', 'programs', 'client-tools', 'approvals'].map(
    (name) => `test/api/${name}.test.ts`,
  ),
  ...['files', 'rest', 'rest-results', 'rest-uploads', 'results', 'modules', 'login', 'web-secrets'].map(
    (name) => `test/api/${name}.test.ts`,
  ),
  ...['quotas', 'lifecycle', 'lifecycle-sessions', 'terminals', 'adopting'].map(
    (name) => `test/sessions/${name}.test.ts`,
  ),
  ...['clients', 'resources', 'tasks', 'cancel'].map((name) => `test/mcp/${name}.test.ts`),
  ...['clients', 'hostile', 'commands', 'access', 'networks', 'secrets', 'terminals'].map(
    (name) => `test/web/${name}.test.ts`,
  ),
  ...['run', 'sessions', 'programs', 'terminal'].map((name) => `test/cli/${name}.test.ts`),
  'test/hostile/*.test.ts',
  'test/audit/*.test.ts',
];
