import type { TelemetrySettings } from './settings.ts';
import type { Telemetry, TelemetryOptions } from './telemetry.ts';

/** Begins to send traces, and later metrics, if there is a collector. Otherwise nothing of it is loaded. */
export async function openTelemetry(
  settings: TelemetrySettings | undefined,
  options: Omit<TelemetryOptions, 'settings'>,
): Promise<Telemetry | undefined> {
  if (!settings) return undefined;
  const { Telemetry: Opened } = await import('./telemetry.ts');
  return new Opened({ settings, ...options });
}
