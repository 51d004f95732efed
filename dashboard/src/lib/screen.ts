import { FitAddon } from '@xterm/addon-fit';
import { type ITheme, Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

export interface ScreenOptions {
  readonly parent: HTMLElement;
  readonly onType: (text: string) => void;
  readonly onTypeBytes: (text: string) => void;
  readonly onSize: (rows: number, cols: number) => void;
}

export interface Screen {
  readonly rows: number;
  readonly cols: number;
  /** @param isPast whether questions in it were answered already */
  print(bytes: Uint8Array | string, isPast: boolean): void;
  focus(): void;
  /** Takes the colours of the page again. */
  recolour(): void;
  destroy(): void;
}

/** Commands to a terminal that only a program that is trusted may give: title, links, clipboard. */
const REFUSED_COMMANDS = [0, 1, 2, 8, 52];
const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'] as const;

/** Opens a terminal for programs that are not trusted. */
export function openScreen({ parent, onType, onTypeBytes, onSize }: ScreenOptions): Screen {
  const terminal = new Terminal({
    ...{ cursorBlink: true, fontSize: 14, scrollback: 5000, theme: themeOf(parent), screenReaderMode: true },
    fontFamily: getComputedStyle(parent).fontFamily,
  });
  for (const command of REFUSED_COMMANDS) terminal.parser.registerOscHandler(command, () => true);
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  withNonce(() => terminal.open(parent));
  /** What was printed before and is still being shown: a program that asked then needs no answer now. */
  let past = 0;
  terminal.onData((text) => past === 0 && onType(text));
  terminal.onBinary((text) => past === 0 && onTypeBytes(text));
  terminal.onResize(({ rows, cols }) => onSize(rows, cols));
  const refit = () => withNonce(() => fit.fit());
  const observer = new ResizeObserver(refit);
  observer.observe(parent);
  refit();
  return {
    get rows() {
      return terminal.rows;
    },
    get cols() {
      return terminal.cols;
    },
    print: (bytes, isPast) => {
      if (isPast) past += 1;
      terminal.write(bytes, () => {
        if (isPast) past -= 1;
      });
    },
    focus: () => terminal.focus(),
    recolour: () => {
      terminal.options.theme = themeOf(parent);
    },
    destroy: () => {
      observer.disconnect();
      terminal.dispose();
    },
  };
}

/** Lets styles be made while `work` runs: the policy of the page allows only those with its nonce. */
function withNonce(work: () => void): void {
  const nonce = document.querySelector<HTMLMetaElement>('meta[property=csp-nonce]')?.nonce ?? '';
  const { createElement } = document;
  document.createElement = (name: string, options?: ElementCreationOptions) => {
    const element: HTMLElement = createElement.call(document, name, options);
    if (name === 'style') element.nonce = nonce;
    return element;
  };
  try {
    work();
  } finally {
    document.createElement = createElement;
  }
}

/** The colours of the page. */
function themeOf(element: HTMLElement): ITheme {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const [foreground, background] = [style.color, style.backgroundColor];
  return {
    ...{ foreground, background, cursor: foreground, cursorAccent: background },
    selectionBackground: read('--pico-text-selection-color'),
    ...Object.fromEntries(NAMES.map((name) => [name, read(`--ansi-${name}`)])),
  };
}
