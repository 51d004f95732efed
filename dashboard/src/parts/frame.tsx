import { useEffect, useRef, useState } from 'preact/hooks';
import { address } from '../api/client.ts';
import { isRecord } from '../api/error.ts';

const LOWEST = 40;
const HIGHEST = 600;

/** HTML or SVG of a program, in a frame that has an origin of its own and no network. Scripts run only if asked for. */
export function ResultFrame({ html, title }: { readonly html: string; readonly title: string }) {
  const [withScripts, setWithScripts] = useState(false);
  return (
    <div class="frame">
      <Frame key={String(withScripts)} html={html} title={title} withScripts={withScripts} />
      {/<script|\son\w+\s*=/i.test(html) && !withScripts && (
        <p class="quiet">
          This result has scripts, which do not run.{' '}
          <button type="button" class="secondary small" onClick={() => setWithScripts(true)}>
            Run them in the frame
          </button>
        </p>
      )}
    </div>
  );
}

function Frame({
  html,
  title,
  withScripts,
}: {
  readonly html: string;
  readonly title: string;
  readonly withScripts: boolean;
}) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [height, setHeight] = useState(LOWEST);
  useEffect(() => {
    const listen = ({ source, data }: MessageEvent) => {
      const target = frame.current?.contentWindow;
      if (!target || source !== target || !isRecord(data)) return;
      // Its origin is opaque, so it cannot be named.
      if (data['ready'] === true) target.postMessage({ html, scripts: withScripts }, '*');
      const told = data['height'];
      if (typeof told === 'number') setHeight(Math.min(HIGHEST, Math.max(LOWEST, Math.ceil(told) || 0)));
    };
    addEventListener('message', listen);
    return () => removeEventListener('message', listen);
  }, [html, withScripts]);
  return (
    <iframe
      ref={frame}
      title={title}
      sandbox="allow-scripts"
      referrerpolicy="no-referrer"
      src={address('page/frame.html').href}
      height={height}
    />
  );
}
