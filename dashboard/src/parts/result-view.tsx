import type { Result } from '../api/types.ts';
import { formatBytes } from '../lib/format.ts';
import { visible } from '../lib/visible.ts';
import { ResultFrame } from './frame.tsx';
import { TerminalText } from './terminal-text.tsx';

/** What a program displayed, in the form that says most. */
export function ResultView({ result, number }: { readonly result: Result; readonly number: number }) {
  const { truncated, omitted, original } = result;
  return (
    <div class="result">
      <Best result={result} title={`Result ${number}`} />
      {truncated && truncated.length > 0 && (
        <p class="quiet">
          Shortened: {truncated.join(', ')}.{' '}
          {original && `The whole is in the file ${visible(original.path)} (${formatBytes(original.size)}).`}
        </p>
      )}
      {omitted && omitted.length > 0 && <p class="quiet">Cannot be shown: {visible(omitted.join(', '))}</p>}
    </div>
  );
}

function Best({ result, title }: { readonly result: Result; readonly title: string }) {
  const { png, jpeg, svg, html, markdown, latex, json, text } = result;
  const about = text === undefined || text === '' ? title : `${title}: ${visible(text).slice(0, 200)}`;
  if (png !== undefined) return <img alt={about} src={`data:image/png;base64,${png}`} />;
  if (jpeg !== undefined) return <img alt={about} src={`data:image/jpeg;base64,${jpeg}`} />;
  if (html !== undefined) return <ResultFrame html={html} title={about} />;
  if (svg !== undefined) return <ResultFrame html={svg} title={about} />;
  const written = markdown ?? latex ?? (json === undefined ? text : JSON.stringify(json, null, 2));
  return <TerminalText text={written ?? ''} label={title} />;
}
