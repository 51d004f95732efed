import type { ServerContext } from '@modelcontextprotocol/server';
import type { ToolEvent } from '../tools/tool.ts';
import { ProgressFeed } from './progress.ts';
import type { TaskLeaving } from './tasks/task.ts';

/** Progress of one call, for a client that has asked for it; also after the answer of a task, where that is told. */
export class CallProgress {
  readonly #feed: ProgressFeed;
  readonly #leaving: TaskLeaving | undefined;
  #taskId: string | undefined;

  /** Undefined if the client has not asked. */
  static of(mcpReq: ServerContext['mcpReq'], isSlow: () => boolean, leaving?: TaskLeaving): CallProgress | undefined {
    const progressToken = mcpReq._meta?.progressToken;
    if (progressToken === undefined) return undefined;
    const notify = (progress: number, message: string) =>
      mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, message } });
    return new CallProgress(notify, isSlow, leaving);
  }

  private constructor(
    notify: (progress: number, message: string) => Promise<void>,
    isSlow: () => boolean,
    leaving: TaskLeaving | undefined,
  ) {
    this.#leaving = leaving;
    this.#feed = new ProgressFeed({
      isSlow,
      send: (progress, message) =>
        this.#taskId !== undefined && leaving?.progress
          ? leaving.progress(this.#taskId, progress, message)
          : notify(progress, message),
    });
  }

  emit(event: ToolEvent): void {
    if (this.#taskId === undefined || this.#leaving?.progress) this.#feed.emit(event);
  }

  /** Sends the remaining text, before the answer. */
  async flush(): Promise<void> {
    await this.#feed.flush();
  }

  /** The call goes on as a task. */
  left(taskId: string): void {
    this.#taskId = taskId;
  }

  /** Stops when the call has been answered, or its task has ended. */
  stop(): void {
    const stop = () => this.#feed.stop();
    if (this.#taskId === undefined || !this.#leaving?.progress) stop();
    else this.#leaving.ended(this.#taskId).then(stop, stop);
  }
}
