import { GloveboxError } from '../../../errors.ts';
import { askPlugin } from './exec-plugin.ts';
import type { CredentialSource, Credentials, Dated, UserContext } from './identity.ts';
import { fileOrData, type KubeconfigUser, readNamed } from './kubeconfig-file.ts';

/** Time in milliseconds after which files are read again: Kubernetes replaces them while they are in use. */
const READ_AGAIN_MS = 60_000;

/** The token of a service account, which Kubernetes replaces about every hour. */
export function rotatingToken(path: string): CredentialSource {
  return keepUntilDue(async () => {
    const token = (await readNamed(path, 'token')).trim();
    return { credentials: { headers: bearer(token) }, until: Date.now() + READ_AGAIN_MS };
  });
}

/** The credentials of a user of a kubeconfig. */
export function userCredentials(user: KubeconfigUser, context: UserContext): CredentialSource {
  return keepUntilDue(async () => {
    assertSupported(user, context.source);
    const own = await ownCredentials(user);
    const headers = { ...own.headers, ...impersonation(user) };
    if (!user.exec) return { credentials: { ...own, headers }, until: Date.now() + READ_AGAIN_MS };
    const { credentials, until } = await askPlugin(user.exec, context);
    // What stands in the kubeconfig itself counts.
    return { credentials: { ...credentials, ...own, headers: { ...credentials.headers, ...headers } }, until };
  });
}

async function ownCredentials(user: KubeconfigUser): Promise<Credentials> {
  const cert = await fileOrData(user, 'client-certificate');
  const key = await fileOrData(user, 'client-key');
  const token = user.tokenFile ? (await readNamed(user.tokenFile, 'tokenFile')).trim() : user.token;
  const headers = token ? bearer(token) : user.username ? basic(user.username, user.password ?? '') : {};
  return { headers, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) };
}

function bearer(token: string) {
  return { authorization: `Bearer ${token}` };
}

function basic(user: string, password: string) {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** Headers that ask to act as someone else. */
function impersonation(user: KubeconfigUser): Credentials['headers'] {
  return {
    ...(user.as ? { 'impersonate-user': user.as } : {}),
    ...(user['as-uid'] ? { 'impersonate-uid': user['as-uid'] } : {}),
    ...(user['as-groups']?.length ? { 'impersonate-group': user['as-groups'] } : {}),
  };
}

function assertSupported(user: KubeconfigUser, source: string): void {
  const provider = user['auth-provider']?.name;
  if (provider) {
    throw new GloveboxError('engine_unavailable', `${source} uses the auth-provider "${provider}".`, {
      hint: 'Kubernetes has removed these: write the kubeconfig anew with the tool of your cloud, which then names a plugin.',
    });
  }
  if (user['as-user-extra']) {
    throw new GloveboxError('engine_unavailable', `${source} sets as-user-extra, which Glovebox cannot send.`, {
      hint: 'Remove it from the kubeconfig, or use another context.',
    });
  }
}

/** Gets credentials once for all who ask until they are due. */
function keepUntilDue(get: () => Promise<Dated>): CredentialSource {
  let kept: Dated | undefined;
  let getting: Promise<Dated> | undefined;
  const renew = async () => {
    try {
      kept = await get();
      return kept;
    } finally {
      getting = undefined;
    }
  };
  return async (fresh = false) => {
    if (kept && !fresh && Date.now() < kept.until) return kept.credentials;
    getting ??= renew();
    return (await getting).credentials;
  };
}
