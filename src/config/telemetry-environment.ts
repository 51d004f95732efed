import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import type { Sampler, SignalSettings, TelemetrySettings } from '../telemetry/settings.ts';

const PROTOCOLS = ['http/protobuf', 'http/json'] as const;
const COMPRESSIONS = ['none', 'gzip'] as const;
const EXPORTERS = ['otlp', 'none'] as const;
/** Baggage is accepted, as many set it, and not passed on: it may hold what others are not to see. */
const PROPAGATORS = ['tracecontext', 'baggage', 'none'] as const;
const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
const LONGEST_MS = 3_600_000;

/**
 * Reads the standard variables of OpenTelemetry. Undefined if nothing is to be sent, which is the default.
 * @throws GloveboxError `invalid_input` for a value that cannot be meant
 */
export function readTelemetry(env: NodeJS.ProcessEnv = process.env): TelemetrySettings | undefined {
  const variables = new Variables(env);
  if (variables.choice('OTEL_SDK_DISABLED', ['true', 'false'], 'false') === 'true') return undefined;
  const traces = readSignal(variables, 'traces');
  const metrics = readSignal(variables, 'metrics');
  if (!traces && !metrics) return undefined;
  return {
    traces,
    metrics,
    resource: readResource(variables),
    sampler: readSampler(variables),
    propagates: readPropagation(variables),
    traceDelayMs: variables.milliseconds('OTEL_BSP_SCHEDULE_DELAY', 5000),
    metricIntervalMs: variables.milliseconds('OTEL_METRIC_EXPORT_INTERVAL', 60_000),
  };
}

function readSignal(variables: Variables, signal: 'traces' | 'metrics'): SignalSettings | undefined {
  const upper = signal.toUpperCase();
  if (variables.choice(`OTEL_${upper}_EXPORTER`, EXPORTERS, 'otlp') === 'none') return undefined;
  // Of each, that of the signal goes before that of all.
  const named = (what: string) =>
    [`OTEL_EXPORTER_OTLP_${upper}_${what}`, `OTEL_EXPORTER_OTLP_${what}`].find((name) => variables.get(name)) ??
    `OTEL_EXPORTER_OTLP_${what}`;
  const endpoint = named('ENDPOINT');
  const url = variables.url(endpoint);
  if (!url) return undefined;
  if (!endpoint.includes(upper)) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/${signal}`;
  refuseFiles(variables, upper);
  return {
    url,
    headers: variables.pairs(named('HEADERS')),
    encoding:
      variables.choice(named('PROTOCOL'), PROTOCOLS, 'http/protobuf', NO_GRPC) === 'http/json' ? 'json' : 'protobuf',
    isCompressed: variables.choice(named('COMPRESSION'), COMPRESSIONS, 'none') === 'gzip',
    timeoutMs: variables.milliseconds(named('TIMEOUT'), 10_000),
  };
}

const NO_GRPC = 'Collectors take OTLP over HTTP at port 4318. Leave the variable out, or set it to http/protobuf.';

/** Files of certificates are those of the host, as for all that this server connects to. */
function refuseFiles(variables: Variables, upper: string): void {
  for (const what of ['CERTIFICATE', 'CLIENT_CERTIFICATE', 'CLIENT_KEY']) {
    for (const name of [`OTEL_EXPORTER_OTLP_${what}`, `OTEL_EXPORTER_OTLP_${upper}_${what}`]) {
      if (!variables.get(name)) continue;
      const hint =
        what === 'CERTIFICATE'
          ? 'Set SSL_CERT_FILE to that file, and leave this out.'
          : 'Leave it out: this server shows no certificate. A collector can ask for a header instead (OTEL_EXPORTER_OTLP_HEADERS).';
      throw new GloveboxError('invalid_input', `${name} is not supported.`, { hint });
    }
  }
}

function readResource(variables: Variables): Record<string, string> {
  const attributes = variables.pairs('OTEL_RESOURCE_ATTRIBUTES');
  const name = variables.get('OTEL_SERVICE_NAME');
  return { 'service.name': 'glovebox', ...attributes, ...(name === undefined ? {} : { 'service.name': name }) };
}

function readSampler(variables: Variables): Sampler {
  const name = variables.choice('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_always_on');
  const ratio = name.endsWith('ratio') ? variables.ratio('OTEL_TRACES_SAMPLER_ARG') : name.endsWith('on') ? 1 : 0;
  return { ratio, respectsCaller: name.startsWith('parentbased') };
}

function readPropagation(variables: Variables): boolean {
  const value = variables.get('OTEL_PROPAGATORS') ?? 'tracecontext';
  const names = value.split(',').map((name) => name.trim());
  for (const name of names) variables.check('OTEL_PROPAGATORS', name, PROPAGATORS);
  return names.includes('tracecontext');
}

/** Variables of which an empty one counts as not set, as the specification says. */
class Variables {
  readonly #env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  get(name: string): string | undefined {
    return this.#env[name]?.trim() || undefined;
  }

  choice<T extends string>(name: string, known: readonly T[], standard: T, hint?: string): T {
    const value = this.get(name)?.toLowerCase();
    return value === undefined ? standard : this.check(name, value, known, hint);
  }

  check<T extends string>(name: string, value: string, known: readonly T[], hint?: string): T {
    const found = known.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    const meant = nearest(value.slice(0, 64), known);
    throw wrong(name, `it is ${JSON.stringify(value.slice(0, 64))}`, hint ?? suggest(meant, known));
  }

  url(name: string): URL | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const url = URL.parse(value);
    // It may hold a password, so it is not quoted.
    if (!url || !/^https?:$/.test(url.protocol))
      throw wrong(name, 'it is no http:// or https:// URL', 'Set it to one such as http://localhost:4318.');
    return url;
  }

  milliseconds(name: string, standard: number): number {
    const value = this.get(name);
    if (value === undefined) return standard;
    const number = Number(value);
    if (Number.isInteger(number) && number >= 1 && number <= LONGEST_MS) return number;
    throw wrong(name, `it is ${JSON.stringify(value.slice(0, 64))}`, `Set it to milliseconds, 1 to ${LONGEST_MS}.`);
  }

  ratio(name: string): number {
    const value = this.get(name);
    const number = Number(value ?? 1);
    if (number >= 0 && number <= 1) return number;
    throw wrong(name, `it is ${JSON.stringify(value?.slice(0, 64))}`, 'Set it to a number from 0 to 1, such as 0.1.');
  }

  /** Pairs such as `a=1,b=2`, with percent-encoded values. They may be credentials, so they are not quoted. */
  pairs(name: string): Record<string, string> {
    const parts = (this.get(name) ?? '').split(',').filter((part) => part.trim() !== '');
    return Object.fromEntries(
      parts.map((part, index) => {
        const at = part.indexOf('=');
        const key = part.slice(0, Math.max(0, at)).trim();
        const value = decode(part.slice(at + 1).trim());
        if (key === '' || value === undefined || (name.includes('HEADERS') && !isHeader(key, value)))
          throw wrong(name, `part ${index + 1} is no key=value`, 'Set it to key=value,key=value; encode "," as %2C.');
        return [key, value];
      }),
    );
  }
}

function decode(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

function isHeader(key: string, value: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(key) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

function suggest(meant: string | undefined, known: readonly string[]): string {
  return `${meant ? `Did you mean ${meant}? ` : ''}Values: ${known.join(', ')}.`;
}

function wrong(name: string, fault: string, hint: string): GloveboxError {
  return new GloveboxError('invalid_input', `${name} cannot be used: ${fault}.`, { hint });
}
