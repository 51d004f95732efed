import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import { runCommand } from '../../../lib/run-command.ts';
import type { Dated, UserContext } from './identity.ts';
import type { ExecPlugin } from './kubeconfig-file.ts';

/** Versions of the format, "ExecCredential" of `client.authentication.k8s.io`. */
const VERSIONS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'];
/** Longest time that a plugin may take, in milliseconds. */
const PLUGIN_LIMIT_MS = 60_000;
/** Time in milliseconds before they expire when credentials are got anew. */
const EARLY_MS = 10_000;

const answerSchema = z.object({
  apiVersion: z.string(),
  kind: z.literal('ExecCredential'),
  status: z.object({
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
    expirationTimestamp: z.string().optional(),
  }),
});

/**
 * Runs the program of a kubeconfig that hands out credentials, such as those of cloud providers.
 * @throws GloveboxError `engine_unavailable` with what it said
 */
export async function askPlugin(plugin: ExecPlugin, context: UserContext): Promise<Dated> {
  const { command, args, env, apiVersion } = plugin;
  if (!VERSIONS.includes(apiVersion)) {
    throw failure(plugin, context, `speaks "${apiVersion}", which is none of ${VERSIONS.join(', ')}`);
  }
  if (plugin.interactiveMode === 'Always') throw failure(plugin, context, 'wants to ask at a terminal');
  const variables = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
  const info = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: specOf(plugin, context) });
  const { code, stdout, stderr } = await runCommand(command, args ?? [], {
    timeoutMs: PLUGIN_LIMIT_MS,
    env: context.environmentWith({ ...variables, KUBERNETES_EXEC_INFO: info }),
  });
  if (code !== 0) throw failure(plugin, context, `failed: ${stderr.trim().slice(-300) || `exit code ${code}`}`);
  return readAnswer(stdout, plugin, context);
}

function specOf({ provideClusterInfo }: ExecPlugin, { cluster, ca }: UserContext): object {
  if (!provideClusterInfo) return { interactive: false };
  return {
    interactive: false,
    cluster: {
      server: cluster.server,
      ...(cluster['tls-server-name'] ? { 'tls-server-name': cluster['tls-server-name'] } : {}),
      ...(cluster['insecure-skip-tls-verify'] ? { 'insecure-skip-tls-verify': true } : {}),
      ...(cluster['proxy-url'] ? { 'proxy-url': cluster['proxy-url'] } : {}),
      ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    },
  };
}

function readAnswer(stdout: string, plugin: ExecPlugin, context: UserContext): Dated {
  const answer = answerSchema.safeParse(parseJson(stdout));
  if (!answer.success || answer.data.apiVersion !== plugin.apiVersion) {
    throw failure(plugin, context, 'did not print an ExecCredential of its version');
  }
  const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = answer.data.status;
  if (!token && !(cert && key))
    throw failure(plugin, context, 'printed neither a token nor a certificate with its key');
  const expiry = expirationTimestamp === undefined ? Number.POSITIVE_INFINITY : Date.parse(expirationTimestamp);
  return {
    credentials: {
      headers: token ? { authorization: `Bearer ${token}` } : {},
      ...(cert && key ? { cert, key } : {}),
    },
    until: Number.isNaN(expiry) ? Number.POSITIVE_INFINITY : expiry - EARLY_MS,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failure(plugin: ExecPlugin, { source }: UserContext, what: string): GloveboxError {
  return new GloveboxError(
    'engine_unavailable',
    `"${plugin.command}", the plugin for credentials of ${source}, ${what}.`,
    {
      hint: plugin.installHint?.trim() || 'Run "kubectl get pods" as the user of this server: it uses the same plugin.',
    },
  );
}
