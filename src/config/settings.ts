import { z } from 'zod';
import { audit } from './audit-settings.ts';
import { egress } from './egress-settings.ts';
import { group } from './group-settings.ts';
import { kubernetes } from './kubernetes-settings.ts';
import { executions, packages, sandbox, sessions } from './sandbox-settings.ts';
import { callers, client, limits, server, storage, tokens } from './service-settings.ts';
import { tools } from './tool-settings.ts';

/**
 * All settings, grouped by subject. `exec_timeout_s` is `GLOVEBOX_EXEC_TIMEOUT_S` in the environment,
 * `--exec-timeout-s` as a flag and `exec_timeout_s` in the configuration file.
 */
export const SUBJECTS = {
  Server: server,
  'Who may call': callers,
  'Who may log in': tokens,
  Sandboxes: sandbox,
  'Sandboxes in Kubernetes': kubernetes,
  'Running code': executions,
  Sessions: sessions,
  'Limits of owners': limits,
  Packages: packages,
  'Tools from code': tools,
  'Web from code': egress,
  'State on disk': storage,
  'Several servers': group,
  'Audit log': audit,
  'Commands for people': client,
} as const;

export const settings = z.strictObject({
  ...server,
  ...callers,
  ...tokens,
  ...sandbox,
  ...kubernetes,
  ...executions,
  ...sessions,
  ...limits,
  ...packages,
  ...tools,
  ...egress,
  ...storage,
  ...group,
  ...audit,
  ...client,
});

/** Checked settings, named as in the configuration file. */
export type Settings = z.infer<typeof settings>;
