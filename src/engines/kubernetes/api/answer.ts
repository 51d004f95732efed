import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';

/** Most characters of an API server's own words in a message. */
const QUOTE_LIMIT = 500;

/** The object `Status` by which an API server refuses, and by which an exec ends. */
export const statusSchema = z.object({
  status: z.string().optional(),
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z
    .object({
      name: z.string().optional(),
      kind: z.string().optional(),
      retryAfterSeconds: z.number().optional(),
      causes: z.array(z.object({ reason: z.string().optional(), message: z.string().optional() })).optional(),
    })
    .optional(),
});
export type ApiStatus = z.infer<typeof statusSchema>;

/** A refusal of the API server, or of something in front of it. */
export class ApiRefusal extends Error {
  readonly statusCode: number;
  /** What the server calls it, such as `AlreadyExists`, `Forbidden` or `Invalid`. Empty if something else refused. */
  readonly reason: string;
  readonly details: ApiStatus['details'];
  /** Seconds after which the server wants to be asked again. */
  readonly retryAfterS: number | undefined;

  constructor(statusCode: number, body: string, retryAfter?: string) {
    const status = parseStatus(body);
    super(status?.message || body.trim().slice(0, QUOTE_LIMIT) || `HTTP ${statusCode}`);
    this.name = 'ApiRefusal';
    this.statusCode = statusCode;
    this.reason = status?.reason ?? '';
    this.details = status?.details;
    const seconds = Number(retryAfter ?? status?.details?.retryAfterSeconds);
    this.retryAfterS = Number.isFinite(seconds) ? seconds : undefined;
  }
}

/** Returns the refusal that an error is, or is caused by. Undefined if the API server was not reached. */
export function refusalOf(error: unknown): ApiRefusal | undefined {
  if (error instanceof ApiRefusal) return error;
  return error instanceof Error && error.cause instanceof ApiRefusal ? error.cause : undefined;
}

/** Returns the HTTP status of a refusal. Undefined if the API server was not reached. */
export function statusOf(error: unknown): number | undefined {
  return refusalOf(error)?.statusCode;
}

/** Parses an object `Status`. Undefined if the text is none. */
export function parseStatus(text: string): ApiStatus | undefined {
  try {
    const parsed = statusSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** What an error of the API server means here. @param source where the access to the cluster comes from */
export function explain(error: unknown, source: string): GloveboxError {
  if (error instanceof GloveboxError) return error;
  if (error instanceof ApiRefusal) return explainRefusal(error, source);
  if (error instanceof z.ZodError || error instanceof SyntaxError) {
    return new GloveboxError('engine_unavailable', 'The API server answered with something that Kubernetes does not.', {
      hint: `Look at what ${source} names: it may be a proxy that asks for a login.`,
      cause: error,
    });
  }
  if (isTls(error)) return explainTls(error, source);
  const reason = unreachable(error);
  return new GloveboxError('engine_unavailable', `The API server of the cluster does not answer: ${reason}.`, {
    hint: `Look whether the cluster runs, and whether the address of ${source} is reached from here: kubectl get --raw /readyz.`,
    cause: error,
  });
}

function explainRefusal(refusal: ApiRefusal, source: string): GloveboxError {
  const { statusCode, reason, details } = refusal;
  const said = refusal.message.slice(0, QUOTE_LIMIT);
  const unavailable = (message: string, hint: string) =>
    new GloveboxError('engine_unavailable', message, { hint, cause: refusal });
  if (statusCode === 401) {
    return unavailable(
      `The API server does not accept the credentials of ${source}: ${said}.`,
      'They may have expired. Get new ones with the tool of your cluster, then try again.',
    );
  }
  if (statusCode === 404 && details?.kind === 'pods') {
    return new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.', { cause: refusal });
  }
  if (statusCode === 404 && details?.kind === 'namespaces') {
    return unavailable(
      `The cluster has no namespace "${details.name}".`,
      `Create it (kubectl create namespace ${details.name}), or set GLOVEBOX_KUBERNETES_NAMESPACE.`,
    );
  }
  if (/exceeded quota/i.test(said)) {
    return new GloveboxError('capacity_exceeded', `The quota of the namespace is reached: ${said}`, {
      hint: 'Close a session that is no longer needed, or have the ResourceQuota of the namespace raised.',
      cause: refusal,
    });
  }
  if (statusCode === 403) return explainForbidden(refusal, said, source);
  if (isAdmission(said)) return explainAdmission(refusal, said);
  if (statusCode === 429 || statusCode >= 500) {
    return new GloveboxError('engine_unavailable', `The API server cannot answer now (${statusCode}): ${said}`, {
      hint: /etcdserver|NOSPACE|space exceeded/i.test(said)
        ? "The database of the cluster is full or down: its operator must look at etcd's alarms."
        : 'Try again later. If it stays so, look at the API server and etcd of the cluster.',
      cause: refusal,
      ...(refusal.retryAfterS === undefined ? {} : { retryAfterS: refusal.retryAfterS }),
    });
  }
  return unavailable(
    `The API server refused (${statusCode}${reason && `, ${reason}`}): ${said}`,
    'Look at the settings of this server, and at the log of the API server.',
  );
}

/** Codes of Node for a server certificate that is not trusted, or is another server's. */
const UNTRUSTED =
  /^(UNABLE_TO_(GET_ISSUER_CERT(_LOCALLY)?|VERIFY_LEAF_SIGNATURE)|(DEPTH_ZERO_)?SELF_SIGNED_CERT(_IN_CHAIN)?|CERT_\w+|ERR_TLS_CERT_ALTNAME_INVALID)$/;

function isTls(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && UNTRUSTED.test(String(error.code));
}

function explainTls(error: Error, source: string): GloveboxError {
  // Node adds advice about itself.
  const said = error.message.split(';')[0]?.trim().slice(0, QUOTE_LIMIT);
  return new GloveboxError('engine_unavailable', `The certificate of the API server is not trusted: ${said}.`, {
    hint: `Look whether ${source} names the right server, and the certificate authority of that cluster. It may be an old kubeconfig: get it anew.`,
    cause: error,
  });
}

/** Whom an API server takes those for who show it no credentials. */
const ANONYMOUS = 'system:anonymous';

const MISSING_RIGHT =
  /User "(?<user>[^"]*)" cannot (?<verb>\w+) resource "(?<resource>[^"]+)" in API group "(?<group>[^"]*)"(?: in the namespace "(?<namespace>[^"]+)")?/;

function explainForbidden(refusal: ApiRefusal, said: string, source: string): GloveboxError {
  const missing = MISSING_RIGHT.exec(said)?.groups;
  if (missing) {
    const { user, verb, resource, namespace } = missing;
    if (user === ANONYMOUS) {
      return new GloveboxError(
        'engine_unavailable',
        `The API server does not know who asks: ${source} shows it no credentials.`,
        {
          hint: 'Look at the user of that access: it needs a token, or a certificate with the key that belongs to it. Grant nothing to "system:anonymous".',
          cause: refusal,
        },
      );
    }
    const place = namespace ? ` in the namespace "${namespace}"` : ' in the whole cluster';
    return new GloveboxError('engine_unavailable', `"${user}" may not ${verb} ${resource}${place}.`, {
      hint: `Bind a ${namespace ? 'Role' : 'ClusterRole'} with the verb "${verb}" on "${resource}"${place} to "${user}".`,
      cause: refusal,
    });
  }
  if (isAdmission(said)) return explainAdmission(refusal, said);
  return new GloveboxError('engine_unavailable', `The API server forbids it to ${source}: ${said}`, {
    hint: 'Look at the rights and the admission policies of the namespace.',
    cause: refusal,
  });
}

function isAdmission(said: string): boolean {
  return /violates PodSecurity|ValidatingAdmissionPolicy|admission webhook|RuntimeClass|LimitRange|usage per (Pod|Container)/i.test(
    said,
  );
}

function explainAdmission(refusal: ApiRefusal, said: string): GloveboxError {
  const hint = /RuntimeClass/.test(said)
    ? 'Correct GLOVEBOX_RUNTIME: "kubectl get runtimeclass" lists those of the cluster.'
    : 'Change that policy of the namespace so that it lets sandboxes in, or use another namespace.';
  return new GloveboxError('engine_unavailable', `The cluster does not admit the sandbox: ${said}`, {
    hint,
    cause: refusal,
  });
}

function unreachable(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time';
  // The error of several attempts has an empty message.
  if (error instanceof AggregateError) return error.errors.map((one: Error) => one.message).join(', ');
  return error.message.trim().slice(0, QUOTE_LIMIT) || error.name;
}
