import { isDeepStrictEqual } from 'node:util';
import { GloveboxError } from '../../../errors.ts';
import { limitExecOptions, lookExecOptions, readLimit } from '../hardening/gvisor.ts';
import {
  type ContainerSpec,
  containerOptions,
  killExecOptions,
  LABELS,
  PROCESS_COLUMNS,
  runnerExecOptions,
} from '../hardening/spec.ts';

/** A request of the control plane. */
export interface EngineRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Parsed JSON; undefined if there is no body. */
  readonly body?: unknown;
}

/** The request that is forwarded instead. It has only those parts of the original that were checked. */
export interface ForwardedRequest {
  readonly path: string;
  readonly body?: unknown;
  /** Id of a container, which must be a sandbox of Glovebox. */
  readonly sandbox?: string;
  /** Id of an exec, which must have been created through the same proxy. */
  readonly exec?: string;
  /** Whether the answer has the id of an exec that may be started later. */
  readonly makesExec?: boolean;
}

export interface PolicyOptions {
  /** `GLOVEBOX_IMAGE`: an image that is allowed besides those built from `sandbox-image/`. */
  readonly image: string;
  /** `GLOVEBOX_KEEP_WHILE`: a container that may be inspected to see whether it runs. */
  readonly keepWhile?: string | undefined;
  /** Whether the engine gives containers a user namespace. A control plane behind the proxy cannot ask for that. */
  readonly remapped?: boolean;
}

interface Rule {
  readonly method: string;
  readonly path: RegExp;
  readonly pass: (match: string[], request: EngineRequest, options: PolicyOptions) => ForwardedRequest;
}

const MIB = 2 ** 20;
const BUILT_IMAGE = /^glovebox-sandbox:(data|slim)-[0-9a-f]{12}$/;
const OURS = encodeURIComponent(JSON.stringify({ label: [LABELS.key] }));
const COLUMNS = encodeURIComponent(PROCESS_COLUMNS);

/** All calls of the engine's API that a control plane needs once it has its sandbox image. */
const RULES: readonly Rule[] = [
  { method: 'GET', path: /^\/_ping$/, pass: () => ({ path: '/_ping' }) },
  { method: 'GET', path: /^\/version$/, pass: () => ({ path: '/version' }) },
  { method: 'GET', path: /^\/images\/json$/, pass: () => ({ path: '/images/json' }) },
  {
    method: 'GET',
    path: /^\/images\/([a-z0-9][\w.:@/-]{0,254})\/json$/i,
    pass: ([, name = '']) => ({ path: `/images/${withoutDots(name)}/json` }),
  },
  { method: 'GET', path: /^\/containers\/json$/, pass: () => ({ path: `/containers/json?all=true&filters=${OURS}` }) },
  {
    method: 'GET',
    path: /^\/containers\/([\w.-]+)\/json$/,
    pass: ([, name = ''], _, { keepWhile }) => {
      if (name !== keepWhile) throw refused(`only ${keepWhile ?? 'no container'} may be inspected`);
      return { path: `/containers/${name}/json` };
    },
  },
  { method: 'POST', path: /^\/containers\/create$/, pass: (_, request, options) => checkCreation(request, options) },
  {
    method: 'POST',
    path: /^\/containers\/([\w-]+)\/start$/,
    pass: ([, id = '']) => ({ path: `/containers/${id}/start`, sandbox: id }),
  },
  {
    method: 'GET',
    path: /^\/containers\/([\w-]+)\/top$/,
    // The engine passes these arguments to `ps` on the host.
    pass: ([, id = '']) => ({ path: `/containers/${id}/top?ps_args=${COLUMNS}`, sandbox: id }),
  },
  {
    method: 'POST',
    path: /^\/containers\/([\w-]+)\/exec$/,
    pass: ([, id = ''], { body }) => ({
      path: `/containers/${id}/exec`,
      sandbox: id,
      body: checkExec(body),
      makesExec: true,
    }),
  },
  {
    method: 'POST',
    path: /^\/exec\/([0-9a-f]{64})\/start$/,
    pass: ([, id = '']) => ({ path: `/exec/${id}/start`, exec: id, body: { Detach: false, Tty: false } }),
  },
  {
    method: 'DELETE',
    path: /^\/containers\/([\w-]+)$/,
    pass: ([, id = '']) => ({ path: `/containers/${id}?force=true&v=true`, sandbox: id }),
  },
];

/**
 * Checks a request to the engine, and makes the request that is forwarded instead.
 * @throws GloveboxError `forbidden` for a request that a control plane does not need
 */
export function checkRequest(request: EngineRequest, options: PolicyOptions): ForwardedRequest {
  const path = request.url.split('?', 1)[0] ?? '';
  for (const rule of RULES) {
    const match = rule.method === request.method ? rule.path.exec(path) : null;
    if (match) return rule.pass([...match], request, options);
  }
  throw refused(`${request.method} ${path.slice(0, 100)} is not needed`);
}

/**
 * Checks the creation of a container. The sizes are read from the request, the container's options are made again from
 * them, and the request must be equal to the result. So no field can be forgotten, even if later engines add new ones.
 */
function checkCreation({ body }: EngineRequest, { image, remapped = false }: PolicyOptions): ForwardedRequest {
  const spec = readSpec(body);
  if (!BUILT_IMAGE.test(spec.image) && spec.image !== image) throw refused('its image is not allowed');
  const expected = makeOptions(spec);
  if (expected === undefined || !isDeepStrictEqual(body, expected)) {
    throw refused('the container is not hardened as a sandbox');
  }
  const made = remapped ? makeOptions({ ...spec, remapped }) : expected;
  return { path: `/containers/create?name=glovebox-${spec.key}`, body: made };
}

/** The container's options for these sizes, as parsed JSON. Undefined when a size is out of range. */
function makeOptions(spec: ContainerSpec): unknown {
  try {
    return JSON.parse(JSON.stringify(containerOptions(spec)));
  } catch {
    return undefined;
  }
}

/** Reads the sizes of a sandbox from the request. Any other container gives sizes or options that are refused later. */
function readSpec(body: unknown): ContainerSpec {
  const { Image, Cmd, Labels, HostConfig } = (body ?? {}) as Record<string, unknown> & CreationBody;
  const workspace = /,size=(\d+)m,.*,uid=(\d+),/.exec(String(HostConfig?.Tmpfs?.['/workspace']));
  return {
    image: String(Image),
    instance: String(Labels?.[LABELS.instance]),
    key: String(Labels?.[LABELS.key]),
    uid: Number(workspace?.[2]),
    memoryMb: Number(HostConfig?.Memory) / MIB,
    cpus: Number(HostConfig?.NanoCpus) / 1e9,
    pids: Number(HostConfig?.PidsLimit),
    diskMb: Number(workspace?.[1]),
    maxLifetimeS: Number(Cmd?.[0]),
    ...(HostConfig?.Runtime === undefined ? {} : { runtime: String(HostConfig?.Runtime) }),
  };
}

interface CreationBody {
  readonly Cmd?: readonly unknown[];
  readonly Labels?: Readonly<Record<string, unknown>>;
  readonly HostConfig?: null | {
    readonly Tmpfs?: Readonly<Record<string, unknown>>;
    readonly Memory?: unknown;
    readonly NanoCpus?: unknown;
    readonly PidsLimit?: unknown;
    readonly Runtime?: unknown;
  };
}

/** Checks an exec. It must start the runner, or kill the processes, of a session's user, or be one that gVisor needs. */
function checkExec(body: unknown): unknown {
  const uid = Number(/^(\d{5}):\1$/.exec(String((body as { User?: unknown } | undefined)?.User))?.[1]);
  const pids = readLimit(body);
  const known = [
    ...(uid >= 10_000 && uid <= 59_999 ? [runnerExecOptions(uid), killExecOptions(uid)] : []),
    ...[lookExecOptions(), ...(pids === undefined ? [] : [limitExecOptions(pids)])],
  ];
  const found = known.find((options) => isDeepStrictEqual(body, options));
  if (!found) throw refused('this exec neither starts a runner nor ends one');
  return found;
}

function withoutDots(name: string): string {
  if (/(^|\/)\.*(\/|$)/.test(name)) throw refused('that is not the name of an image');
  return name;
}

function refused(why: string): GloveboxError {
  return new GloveboxError('forbidden', `Refused by the socket proxy: ${why}.`);
}
