import { DisplayCollector } from '../execution/displays.ts';
import { LineStates } from '../execution/line-states.ts';
import { OutputCapture } from '../execution/output-capture.ts';
import type { KeptFile } from '../execution/report.ts';
import type { ExecutionEnd, OutputSink } from '../execution/request.ts';
import type { ExecutionOutput } from './execution-output.ts';
import { ignoreEvents, type ToolContext } from './tool.ts';

export interface OutputLimits {
  /** Bytes of each text stream in a result. */
  readonly outputLimit: number;
  /** Bytes of one rich result, and of all of one execution. */
  readonly results: { readonly limit: number; readonly total: number };
  /** Whether texts are kept byte by byte, for who reads them by offsets, instead of the last state of each line. */
  readonly verbatim?: boolean;
}

type TextStream = 'stdout' | 'stderr';

interface Text {
  readonly capture: OutputCapture;
  readonly lines: LineStates | undefined;
  readonly decoder: InstanceType<typeof TextDecoder>;
  bytes: number;
}

/** The output of one execution: folded into the result, and told to the caller as it comes. */
export class OutputStreams {
  readonly #emit: ToolContext['emit'];
  readonly #texts: Record<TextStream, Text>;
  readonly #results: DisplayCollector;

  constructor(emit: ToolContext['emit'], { outputLimit, results, verbatim }: OutputLimits) {
    const open = (): Text => ({
      capture: new OutputCapture(outputLimit),
      lines: verbatim ? undefined : new LineStates(),
      decoder: new TextDecoder(),
      bytes: 0,
    });
    this.#emit = emit;
    this.#texts = { stdout: open(), stderr: open() };
    this.#results = new DisplayCollector(results);
  }

  readonly take: OutputSink = (name, chunk) => {
    if (name === 'display') return this.#display(chunk);
    const text = this.#texts[name];
    text.bytes += chunk.length;
    text.capture.add(text.lines?.add(chunk) ?? chunk);
    if (this.#emit === ignoreEvents) return undefined;
    return this.#tell(name, text.decoder.decode(chunk, { stream: true }));
  };

  /** Takes what is left: lines without an end, and characters that never became whole. */
  async finish(): Promise<void> {
    for (const name of ['stdout', 'stderr'] as const) {
      const { capture, lines, decoder } = this.#texts[name];
      if (lines) capture.add(lines.finish());
      await this.#tell(name, decoder.decode());
    }
  }

  fold({ failure, report }: ExecutionEnd): Pick<ExecutionOutput, 'stdout' | 'stderr' | 'results' | 'truncated'> {
    const stdout = this.#fold('stdout', report?.kept?.stdout);
    const stderr = this.#fold('stderr', report?.kept?.stderr);
    const truncated = { ...stdout.truncated, ...stderr.truncated };
    const results = this.#results.results;
    return {
      stdout: stdout.text,
      stderr: failure === undefined ? stderr.text : `${stderr.text}${failure}\n`,
      ...(results.length > 0 ? { results } : {}),
      ...(Object.keys(truncated).length > 0 ? { truncated } : {}),
    };
  }

  #fold(name: TextStream, kept: KeptFile | undefined): { text: string; truncated: ExecutionOutput['truncated'] } {
    const { capture, bytes } = this.#texts[name];
    const { text, leftOut, total } = capture.result(bytes);
    // Earlier states of lines are worth a word only where they are kept.
    const missing = leftOut || (kept ? bytes - capture.bytes : 0);
    const file = kept ? { file: kept.path, file_bytes: kept.bytes } : {};
    return { text, truncated: missing > 0 ? { [name]: { bytes: missing, total_bytes: total, ...file } } : {} };
  }

  async #display(chunk: Buffer): Promise<void> {
    // All of them begun now: the next chunk's must not come in between.
    await Promise.all(this.#results.add(chunk).map((result) => this.#emit({ type: 'display', result })));
  }

  #tell(type: TextStream, text: string): void | Promise<void> {
    return text === '' ? undefined : this.#emit({ type, text });
  }
}
