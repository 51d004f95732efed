import { useEffect, useRef, useState } from 'preact/hooks';
import type { CodeEditor } from '../lib/code-editor.ts';

interface Props {
  readonly code: string;
  readonly label: string;
  readonly onChange: (code: string) => void;
  readonly onRun: () => void;
}

/** Editor of one cell. Until its code has been loaded, and where that fails, it is a plain text field. */
export function Editor({ code, label, onChange, onRun }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plain = useRef<HTMLTextAreaElement>(null);
  const [isOpen, setOpen] = useState(false);
  const handlers = useRef({ onChange, onRun });
  handlers.current = { onChange, onRun };
  useEffect(() => {
    let editor: CodeEditor | undefined;
    let isGone = false;
    const open = async () => {
      const { openEditor } = await import('../lib/code-editor.ts');
      if (isGone || !host.current) return;
      const field = plain.current;
      const isFocused = field !== null && document.activeElement === field;
      editor = openEditor({
        parent: host.current,
        code: field?.value ?? code,
        label,
        onChange: (text) => handlers.current.onChange(text),
        onRun: () => handlers.current.onRun(),
      });
      setOpen(true);
      if (isFocused) editor.focus();
    };
    void open().catch(() => {});
    return () => {
      isGone = true;
      editor?.destroy();
    };
  }, []);
  return (
    <div class="editor">
      {!isOpen && (
        <textarea
          ref={plain}
          aria-label={label}
          spellcheck={false}
          rows={3}
          defaultValue={code}
          onInput={({ currentTarget }) => handlers.current.onChange(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            handlers.current.onRun();
          }}
        />
      )}
      <div ref={host} />
    </div>
  );
}
