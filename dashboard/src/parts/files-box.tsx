import { useRef, useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { FileEntry } from '../api/types.ts';
import { download } from '../lib/download.ts';
import { formatBytes } from '../lib/format.ts';
import { checkSize, filePath, uploadFile } from '../lib/upload.ts';
import { visible } from '../lib/visible.ts';
import { ErrorNotice } from './notice.tsx';

interface Props {
  readonly session: string | undefined;
  readonly files: readonly FileEntry[];
  readonly isTruncated: boolean;
  /** Size of a session's disk in MiB. */
  readonly diskMb: number | undefined;
  readonly openSession: () => Promise<string>;
  /** Something has changed, so that the files are to be listed again. */
  readonly onChange: () => void;
}

interface Upload {
  readonly name: string;
  readonly part: number;
}

/** Files of the session: to drop in, to fetch, to delete. */
export function FilesBox({ session, files, isTruncated, diskMb, openSession, onChange }: Props) {
  const [isOver, setOver] = useState(false);
  const [upload, setUpload] = useState<Upload>();
  const [error, setError] = useState<ApiError>();
  const stopper = useRef<AbortController | undefined>(undefined);
  const attempt = async (work: () => Promise<void>) => {
    setError(undefined);
    await work().catch((thrown: unknown) => setError(describeError(thrown)));
  };
  const send = (chosen: readonly File[]) =>
    attempt(async () => {
      for (const file of chosen) checkSize(file, diskMb);
      const id = await openSession();
      const stop = new AbortController();
      stopper.current = stop;
      try {
        for (const file of chosen) {
          const onProgress = (part: number) => setUpload({ name: file.name, part });
          onProgress(0);
          await uploadFile(id, file, { onProgress, signal: stop.signal });
        }
      } finally {
        setUpload(undefined);
        onChange();
      }
    });
  const remove = (path: string) =>
    attempt(async () => {
      if (session === undefined || !confirm(`Delete ${visible(path)}?`)) return;
      await call(filePath(session, path), { method: 'DELETE' });
      onChange();
    });
  const fetchFile = (path: string) =>
    attempt(async () => {
      if (session !== undefined) await download(filePath(session, path), path.split('/').at(-1) ?? path);
    });
  return (
    <section aria-label="Files" class={isOver ? 'drop over' : 'drop'} {...dropTarget(setOver, send)}>
      <h2>Files</h2>
      {diskMb !== undefined && <p class="quiet">The disk of a session holds {formatBytes(diskMb * 2 ** 20)}.</p>}
      <label class="pick">
        Drop files here, or choose some
        <input
          type="file"
          multiple
          onChange={({ currentTarget }) => {
            void send([...(currentTarget.files ?? [])]);
            currentTarget.value = '';
          }}
        />
      </label>
      {upload && (
        <div class="line" role="status">
          <progress aria-label={`Sending ${upload.name}`} value={upload.part} />
          <span class="quiet">{visible(upload.name)}</span>
          <button type="button" class="secondary small" onClick={() => stopper.current?.abort()}>
            Stop
          </button>
        </div>
      )}
      {error && <ErrorNotice error={error} />}
      <FileList files={files} onFetch={fetchFile} onRemove={remove} />
      {isTruncated && <p class="quiet">There are more files than are listed here.</p>}
    </section>
  );
}

/** Handlers of an element that files are dropped on. */
function dropTarget(setOver: (isOver: boolean) => void, send: (files: readonly File[]) => Promise<void>) {
  return {
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      void send([...(event.dataTransfer?.files ?? [])]);
    },
    onDragOver: (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: () => setOver(false),
  };
}

interface FileListProps {
  readonly files: readonly FileEntry[];
  readonly onFetch: (path: string) => Promise<void>;
  readonly onRemove: (path: string) => Promise<void>;
}

function FileList({ files, onFetch, onRemove }: FileListProps) {
  if (files.length === 0) {
    return <p class="quiet">There are no files yet. Code finds them in its working directory.</p>;
  }
  return (
    <ul class="plain files">
      {files.map(({ path, size, type }) => (
        <li key={path}>
          <button type="button" class="link" onClick={() => void onFetch(path)}>
            {visible(path)}
          </button>{' '}
          <span class="quiet">{type === 'file' ? formatBytes(size) : type}</span>
          <button
            type="button"
            class="secondary small last"
            aria-label={`Delete ${visible(path)}`}
            onClick={() => void onRemove(path)}
          >
            Delete
          </button>
        </li>
      ))}
    </ul>
  );
}
