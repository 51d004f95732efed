import { useEffect, useRef, useState } from 'preact/hooks';
import { type TerminalEnd, TerminalSocket } from '../api/terminal-socket.ts';
import { formatBytes } from '../lib/format.ts';
import type { Screen } from '../lib/screen.ts';
import { theme } from '../lib/theme.ts';
import { Notice } from './notice.tsx';

type State = 'opening' | 'open' | 'broken' | 'refused' | TerminalEnd;

interface Props {
  readonly session: string;
  readonly terminal: string;
  readonly onEnd: () => void;
}

/** Why a terminal has ended, for people. */
const REASONS: Readonly<Record<string, string>> = {
  closed: 'It was closed.',
  idle: 'Nobody looked at it for too long.',
  hibernated: 'Its session hibernated. The files are kept.',
  session_closed: 'Its session was closed.',
  session_over: 'Its session has reached its longest lifetime.',
  sandbox_lost: 'Its sandbox is gone.',
  runner_lost: 'All processes of its session were ended.',
  connection_lost: 'The server lost the connection to the container engine.',
  out_of_memory: 'It needed more than its memory.',
  server_stopped: 'The server was stopped.',
};

/** A terminal of a session, as long as it is shown. */
export function TerminalScreen({ session, terminal, onEnd }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const shown = useRef<Screen>(undefined);
  const [state, setState] = useState<State>('opening');
  useEffect(() => {
    let socket: TerminalSocket | undefined;
    let isGone = false;
    const open = async () => {
      const { openScreen } = await import('../lib/screen.ts');
      if (isGone || !host.current) return;
      const screen = openScreen({
        parent: host.current,
        onType: (text) => socket?.type(text),
        onTypeBytes: (text) => socket?.typeBytes(text),
        onSize: (rows, cols) => socket?.resize(rows, cols),
      });
      shown.current = screen;
      socket = new TerminalSocket(session, terminal, {
        onBytes: (bytes, isPast) => screen.print(bytes, isPast),
        onSkipped: (bytes) => screen.print(`\r\n\x1b[7m ${formatBytes(bytes)} are not shown here \x1b[0m\r\n`, true),
        onConnection: (isThere) => setState(isThere ? 'open' : 'broken'),
        onRefused: () => setState('refused'),
        onEnd: (end) => {
          setState(end);
          onEnd();
        },
      });
      socket.resize(screen.rows, screen.cols);
      screen.focus();
    };
    void open().catch(() => setState('refused'));
    return () => {
      isGone = true;
      socket?.close();
      shown.current?.destroy();
    };
  }, [session, terminal]);
  const colours = theme.value;
  useEffect(() => shown.current?.recolour(), [colours]);
  return (
    <>
      <TerminalState state={state} />
      <div class="screen" ref={host} />
    </>
  );
}

function TerminalState({ state }: { readonly state: State }) {
  if (state === 'broken')
    return <Notice>The line is broken. It is tried again; the terminal goes on meanwhile.</Notice>;
  if (state === 'refused') return <Notice>This terminal is gone, or is not yours.</Notice>;
  if (typeof state === 'string') return null;
  const how = state.exitCode === null ? '' : ` with exit code ${state.exitCode}`;
  return (
    <Notice>
      The terminal has ended{how}. {REASONS[state.reason]}
    </Notice>
  );
}
