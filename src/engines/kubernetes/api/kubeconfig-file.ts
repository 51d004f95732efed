import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';

const text = z.string().nullish();

const clusterSchema = z.object({
  server: z.string(),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': z.boolean().nullish(),
  'tls-server-name': text,
  'proxy-url': text,
});

const execSchema = z.object({
  apiVersion: z.string(),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  installHint: text,
  interactiveMode: text,
  provideClusterInfo: z.boolean().nullish(),
});

const userSchema = z.object({
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  token: text,
  tokenFile: text,
  username: text,
  password: text,
  exec: execSchema.nullish(),
  'auth-provider': z.object({ name: z.string() }).nullish(),
  as: text,
  'as-uid': text,
  'as-groups': z.array(z.string()).nullish(),
  'as-user-extra': z.record(z.string(), z.array(z.string())).nullish(),
});

const contextSchema = z.object({ cluster: z.string(), user: text, namespace: text });

const fileSchema = z.object({
  'current-context': text,
  contexts: z.array(z.object({ name: z.string(), context: contextSchema })).nullish(),
  clusters: z.array(z.object({ name: z.string(), cluster: clusterSchema })).nullish(),
  users: z.array(z.object({ name: z.string(), user: userSchema.nullish() })).nullish(),
});

/** Entries of files stand here as absolute paths. */
export type KubeconfigCluster = z.infer<typeof clusterSchema>;
export type KubeconfigUser = z.infer<typeof userSchema> | Record<string, never>;
export type ExecPlugin = z.infer<typeof execSchema>;

export interface Kubeconfig {
  readonly currentContext: string | undefined;
  readonly contexts: ReadonlyMap<string, z.infer<typeof contextSchema>>;
  readonly clusters: ReadonlyMap<string, KubeconfigCluster>;
  readonly users: ReadonlyMap<string, KubeconfigUser>;
}

/** Names of entries that hold a path, which is relative to the folder of the file. */
const PATHS = ['certificate-authority', 'client-certificate', 'client-key', 'tokenFile'];

/** Reads one file. @returns undefined if there is none @throws GloveboxError `engine_unavailable` if it is no kubeconfig */
export async function readFileOf(path: string): Promise<Kubeconfig | undefined> {
  try {
    const content = await readFile(path, 'utf8');
    const { parse } = await import('yaml');
    return toKubeconfig(fileSchema.parse(parse(content) ?? {}), dirname(resolve(path)));
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new GloveboxError('engine_unavailable', `The kubeconfig ${path} cannot be read: ${reasonOf(cause)}`, {
      hint: 'Correct that file, or name another one in KUBECONFIG.',
      cause,
    });
  }
}

function toKubeconfig(file: z.infer<typeof fileSchema>, folder: string): Kubeconfig {
  const withPaths = <T extends object>(entry: T): T =>
    Object.assign(
      {},
      entry,
      ...PATHS.map((name) => {
        const path: unknown = Reflect.get(entry, name);
        return typeof path === 'string' && path ? { [name]: resolve(folder, path) } : {};
      }),
    );
  // The first entry of a name counts, as for kubectl; in a Map it is the last.
  const byName = <E extends { readonly name: string }, T>(entries: readonly E[] | null | undefined, of: (e: E) => T) =>
    new Map((entries ?? []).toReversed().map((entry) => [entry.name, of(entry)]));
  return {
    currentContext: file['current-context'] || undefined,
    contexts: byName(file.contexts, ({ context }) => context),
    clusters: byName(file.clusters, ({ cluster }) => withPaths(cluster)),
    users: byName(file.users, ({ user }) => withPluginPath(withPaths(user ?? {}), folder)),
  };
}

/** A command with a folder in it is relative to the file; any other is searched for in PATH. */
function withPluginPath(user: KubeconfigUser, folder: string): KubeconfigUser {
  if (!user.exec || !/[/\\]/.test(user.exec.command)) return user;
  return { ...user, exec: { ...user.exec, command: resolve(folder, user.exec.command) } };
}

function reasonOf(cause: unknown): string {
  if (cause instanceof z.ZodError) {
    return cause.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  }
  return cause instanceof Error ? cause.message.trim() : String(cause);
}

/**
 * The text of an entry that stands in the kubeconfig itself, in base64, or in a file. The former counts if both are there.
 * @throws GloveboxError `engine_unavailable` if the file cannot be read
 */
export async function fileOrData(entry: object, name: string): Promise<string | undefined> {
  const data: unknown = Reflect.get(entry, `${name}-data`);
  if (typeof data === 'string' && data) return Buffer.from(data, 'base64').toString();
  const path: unknown = Reflect.get(entry, name);
  return typeof path === 'string' && path ? await readNamed(path, name) : undefined;
}

/** Reads a file that the kubeconfig names. @throws GloveboxError `engine_unavailable` */
export async function readNamed(path: string, name: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GloveboxError(
      'engine_unavailable',
      `The file ${path} cannot be read, which is "${name}" of the cluster's access.`,
      {
        hint: 'Make it readable for this user, or correct the path.',
        cause,
      },
    );
  }
}
