import { useRef, useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { Finding, Health } from '../api/types.ts';
import { formatBytes } from '../lib/format.ts';
import { usePolled } from '../lib/use-polled.ts';
import { useServerInfo } from '../lib/use-server-info.ts';
import { visible } from '../lib/visible.ts';
import { Chart } from '../parts/chart.tsx';
import { ErrorNotice } from '../parts/notice.tsx';

const POLL_MS = 2000;
/** Two minutes. */
const CHART_LENGTH = 60;

export function Overview() {
  const history = useRef<Health[]>([]);
  const {
    value: health,
    error,
    refresh,
  } = usePolled(async (signal) => {
    const now = await call<Health>('/health', { signal });
    history.current = [...history.current, now].slice(-CHART_LENGTH);
    return now;
  }, POLL_MS);
  const all = history.current;
  const series = (read: (health: Health) => number | undefined) => all.map((one) => read(one) ?? 0);
  return (
    <>
      <h1>Overview</h1>
      {error && <ErrorNotice error={error} onRetry={refresh} />}
      <div class="charts">
        <Chart
          title="Executions running"
          values={series(({ executions }) => executions?.running)}
          least={health?.executions?.places ?? 1}
          length={CHART_LENGTH}
        />
        <Chart
          title="Executions waiting"
          values={series(({ executions }) => executions?.waiting)}
          least={4}
          length={CHART_LENGTH}
        />
        <Chart
          title="Sandboxes ready"
          values={series(({ pool }) => pool?.ready)}
          least={health?.pool?.size ?? 1}
          length={CHART_LENGTH}
        />
        <Chart title="Sessions" values={series(({ sessions }) => sessions)} least={4} length={CHART_LENGTH} />
      </div>
      <div class="columns">
        {health && <HealthFacts health={health} />}
        <ServerFacts />
      </div>
      <Doctor />
    </>
  );
}

function Facts({ facts }: { readonly facts: readonly (readonly [name: string, value: string | undefined])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === undefined ? '–' : visible(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function HealthFacts({ health }: { readonly health: Health }) {
  const { engine = {}, image, pool, preload, executions } = health;
  return (
    <section aria-label="Health">
      <h2>Health</h2>
      <Facts
        facts={[
          ['Code can run', health.status === 'ok' ? 'yes' : 'no'],
          ...Object.entries(engine).map(([name, value]) => [`Engine: ${name}`, String(value)] as const),
          ['Image', image],
          ['Pool', pool && `${pool.ready} of ${pool.size} sandboxes ready`],
          [
            'Queue',
            executions && `${executions.waiting} waiting, ${executions.running} of ${executions.places} places taken`,
          ],
          ['Loaded beforehand', preload && `${formatBytes(preload.bytes)} of ${formatBytes(preload.limit)}`],
        ]}
      />
    </section>
  );
}

function ServerFacts() {
  const info = useServerInfo();
  if (!info) return null;
  const { version, owner, needs_key, limits, package_cache: cache } = info;
  return (
    <section aria-label="Limits">
      <h2>Limits</h2>
      <Facts
        facts={[
          ['You are', needs_key ? owner : `${owner} (no key is needed)`],
          ['Version', version],
          ...Object.entries(limits).map(([name, value]) => [nameOf(name), String(value)] as const),
          [
            'Package cache',
            `${cache.bytes === undefined ? 'not used yet' : formatBytes(cache.bytes)}, at most ${formatBytes(cache.limit_bytes)}`,
          ],
        ]}
      />
    </section>
  );
}

const UNITS: Readonly<Record<string, string>> = { mb: 'MiB', s: 'seconds' };

/** `memory_mb` as "Memory (MiB)". */
function nameOf(setting: string): string {
  const words = setting.split('_');
  const unit = UNITS[words.at(-1) ?? ''];
  const name = (unit === undefined ? words : words.slice(0, -1)).join(' ');
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}${unit === undefined ? '' : ` (${unit})`}`;
}

/** The lines of `glovebox doctor`. It runs code, so it waits to be asked. */
function Doctor() {
  const [findings, setFindings] = useState<readonly Finding[]>();
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<ApiError>();
  const run = async () => {
    setRunning(true);
    setError(undefined);
    try {
      setFindings((await call<{ findings: Finding[] }>('/doctor')).findings);
    } catch (thrown) {
      setError(describeError(thrown));
    }
    setRunning(false);
  };
  return (
    <section aria-label="Checks">
      <h2>Checks</h2>
      <button type="button" class="small" onClick={run} disabled={isRunning} aria-busy={isRunning}>
        Run the checks of glovebox doctor
      </button>
      {error && <ErrorNotice error={error} />}
      <div role="status">
        {findings && (
          <ul class="plain doctor">
            {findings.map(({ level, what, said, next }) => (
              <li key={`${what} ${said}`}>
                <strong class={level === 'ok' ? 'fine' : 'failed'}>{level}</strong> {visible(what)}: {visible(said)}
                {next !== undefined && <div class="quiet">{visible(next)}</div>}
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}
