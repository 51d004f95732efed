import { isDeepStrictEqual } from 'node:util';
import { GloveboxError } from '../../../errors.ts';
import {
  type ContainerSpec,
  containerOptions,
  killExecOptions,
  LABELS,
  PROCESS_COLUMNS,
  runnerExecOptions,
} from '../hardening/spec.ts';

/** A request as the control plane made it. */
export interface EngineRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Parsed JSON; undefined where none was sent. */
  readonly body?: unknown;
}

/** What is passed on in its place: nothing of the request but what was understood. */
export interface Passage {
  readonly path: string;
  readonly body?: unknown;
  /** A container that must be a sandbox of Glovebox's. */
  readonly sandbox?: string;
  /** An exec that must have been made through the same proxy. */
  readonly exec?: string;
  /** The answer names an exec that may be started later. */
  readonly makesExec?: boolean;
}

export interface PolicyOptions {
  /** `GLOVEBOX_IMAGE`: an image besides those built from `sandbox-image/`. */
  readonly image: string;
  /** `GLOVEBOX_KEEP_WHILE`: a container of which may be asked whether it runs. */
  readonly keepWhile?: string | undefined;
}

interface Rule {
  readonly method: string;
  readonly path: RegExp;
  readonly pass: (match: string[], request: EngineRequest, options: PolicyOptions) => Passage;
}

const MIB = 2 ** 20;
const BUILT_IMAGE = /^glovebox-sandbox:(data|slim)-[0-9a-f]{12}$/;
const OURS = encodeURIComponent(JSON.stringify({ label: [LABELS.key] }));
const COLUMNS = encodeURIComponent(PROCESS_COLUMNS);

/** Every call of the engine's API that a control plane needs once its sandbox image is there. */
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
  { method: 'POST', path: /^\/containers\/create$/, pass: (_, request, options) => passCreation(request, options) },
  {
    method: 'POST',
    path: /^\/containers\/([\w-]+)\/start$/,
    pass: ([, id = '']) => ({ path: `/containers/${id}/start`, sandbox: id }),
  },
  {
    method: 'GET',
    path: /^\/containers\/([\w-]+)\/top$/,
    // The engine hands these arguments to a `ps` of the host's.
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
 * What becomes of a request to the engine.
 * @throws GloveboxError `forbidden` for all that a control plane does not need.
 */
export function judge(request: EngineRequest, options: PolicyOptions): Passage {
  const path = request.url.split('?', 1)[0] ?? '';
  for (const rule of RULES) {
    const match = rule.method === request.method ? rule.path.exec(path) : null;
    if (match) return rule.pass([...match], request, options);
  }
  throw refused(`${request.method} ${path.slice(0, 100)} is not needed`);
}

/**
 * A container passes if it is, to the letter, what the hardening makes of its sizes: with the sizes read from the
 * request, the whole is written anew and compared. So no field is forgotten, nor one that engines of tomorrow know.
 */
function passCreation({ body }: EngineRequest, { image }: PolicyOptions): Passage {
  const spec = readSpec(body);
  if (!BUILT_IMAGE.test(spec.image) && spec.image !== image) throw refused('its image is none of ours');
  const expected = writeAnew(spec);
  if (expected === undefined || !isDeepStrictEqual(body, expected)) {
    throw refused('the container is not hardened as a sandbox is');
  }
  return { path: `/containers/create?name=glovebox-${spec.key}`, body: expected };
}

/** What the hardening makes of these sizes, as it comes over the wire; undefined where they are impossible. */
function writeAnew(spec: ContainerSpec): unknown {
  try {
    return JSON.parse(JSON.stringify(containerOptions(spec)));
  } catch {
    return undefined;
  }
}

/** The sizes that a sandbox was asked for with; whatever is no sandbox yields sizes that are refused, or compared. */
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

/** An exec is the runner or the kill of a session's own user. */
function checkExec(body: unknown): unknown {
  const uid = Number(/^(\d{5}):\1$/.exec(String((body as { User?: unknown } | undefined)?.User))?.[1]);
  const known = [runnerExecOptions(uid), killExecOptions(uid)];
  const found = uid >= 10_000 && uid <= 59_999 && known.find((options) => isDeepStrictEqual(body, options));
  if (!found) throw refused('this exec is neither a runner nor the end of one');
  return found;
}

function withoutDots(name: string): string {
  if (/(^|\/)\.*(\/|$)/.test(name)) throw refused('that is no name of an image');
  return name;
}

function refused(why: string): GloveboxError {
  return new GloveboxError('forbidden', `Refused by the socket proxy: ${why}.`);
}
