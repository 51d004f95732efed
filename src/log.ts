/** Structured lines to stderr; stdout belongs to MCP on stdio. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Most characters of the message of one error. */
const MESSAGE_LIMIT = 300;

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** A log that drops lines below `least`; each line is `time level message key=value …`. */
export function createLog(least: LogLevel, write: (line: string) => void = (line) => process.stderr.write(line)): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return;
      const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${format(value)}`);
      write(`${new Date().toISOString()} ${level.padEnd(5)} ${message}${pairs.join('')}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function format(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(describe(value));
  return typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : (JSON.stringify(value) ?? String(value));
}

/** Says what an error and its causes say, each cut: an engine may answer with all that it was sent. */
function describe(error: Error): string {
  const { length } = error.message;
  const message = length > MESSAGE_LIMIT ? `${error.message.slice(0, MESSAGE_LIMIT)}…` : error.message;
  return error.cause instanceof Error ? `${message} (${describe(error.cause)})` : message;
}
