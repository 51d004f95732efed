/** Shortest and longest pause, in milliseconds. */
interface Pause {
  readonly least: number;
  readonly most: number;
}

/**
 * Does work again and again until it is disposed of, after random pauses, the first of which comes first: so several
 * control planes take turns.
 * @param work never rejects. The next pause begins at its end.
 */
export function atRandomPauses({ least, most }: Pause, work: () => Promise<void>): Disposable {
  let timer: NodeJS.Timeout;
  let isOver = false;
  const later = () => {
    if (isOver) return;
    timer = setTimeout(() => void work().finally(later), least + Math.random() * (most - least)).unref();
  };
  later();
  return {
    [Symbol.dispose]() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}
