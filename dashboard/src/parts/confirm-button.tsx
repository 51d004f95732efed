import { useEffect, useState } from 'preact/hooks';

interface Props {
  readonly label: string;
  /** What the second press does. */
  readonly question: string;
  readonly onConfirm: () => void;
}

const PATIENCE_MS = 5000;

/** A button that does its work at the second press, soon after the first. */
export function ConfirmButton({ label, question, onConfirm }: Props) {
  const [isAsking, setAsking] = useState(false);
  useEffect(() => {
    if (!isAsking) return;
    const timer = setTimeout(() => setAsking(false), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isAsking]);
  return (
    <button
      type="button"
      class={isAsking ? 'small stop' : 'secondary small'}
      onClick={() => {
        setAsking(!isAsking);
        if (isAsking) onConfirm();
      }}
    >
      <span aria-live="polite">{isAsking ? question : label}</span>
    </button>
  );
}
