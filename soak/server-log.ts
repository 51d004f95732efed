/** What a server says, counted by message. */
export class ServerLog {
  readonly counts = new Map<string, number>();
  /** Lines of the level `error`: nothing that a caller does may bring them about. */
  readonly errors: string[] = [];
  #held = '';

  take(chunk: Buffer): void {
    const lines = (this.#held + chunk.toString()).split('\n');
    this.#held = lines.pop() ?? '';
    for (const line of lines) this.#count(line);
  }

  render(): string {
    return [...this.counts].map(([message, count]) => `  ${count} x ${message}`).join('\n');
  }

  #count(line: string): void {
    const [, level, message] = /^\S+Z (debug|info|warn|error)\s+(.+?)(?= \w+=|$)/.exec(line) ?? [];
    const reason = /"([^"(/]{0,90})/.exec(line)?.[1] ?? '';
    const name = `${level ?? 'other'}: ${message ?? line.slice(0, 120)}${reason && ` (${reason})`}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (level === 'error') this.errors.push(line.slice(0, 1000));
  }
}
