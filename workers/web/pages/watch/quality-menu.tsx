import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { describeQuality, type Qualities } from "./qualities.ts";

interface QualityMenuProps {
  qualities: Qualities;
  onChoose: (index: number | null) => void;
  /** The bar must stay while the menu is open. */
  onOpen: (isOpen: boolean) => void;
}

/** The choice of quality: a menu where there is a choice, else the name of what plays. */
export function QualityMenu({ qualities, onChoose, onOpen }: QualityMenuProps) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLSpanElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const items = () => [...(root.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [])];

  useLayoutEffect(() => {
    onOpen(isOpen);
    if (!isOpen) return;
    (items().find((item) => item.ariaChecked === "true") ?? items()[0])?.focus();
    const leave = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave, true);
    document.addEventListener("focusin", leave, true);
    return () => {
      document.removeEventListener("pointerdown", leave, true);
      document.removeEventListener("focusin", leave, true);
    };
  }, [isOpen]);

  const label = describeQuality(qualities);
  if (label === null) return null;
  if (qualities.choices.length < 2) return <span class="quality-name">{label}</span>;

  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const targets: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
    const target = targets[event.key];
    if (target !== undefined) all.at(target % all.length)?.focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") setOpen(false);
    // The player's own keys are not meant: Space chooses here.
    event.stopPropagation();
    if (target !== undefined || event.key === "Escape") event.preventDefault();
  };
  const choose = (index: number | null) => {
    onChoose(index);
    close();
  };
  return (
    <span class="quality" ref={root}>
      <button
        ref={button}
        class="quality-button"
        type="button"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-label={`Quality: ${label}`}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
      </button>
      {isOpen && (
        <div class="menu" role="menu" aria-label="Quality" onKeyDown={onKeyDown}>
          <Item label="Auto" isChosen={qualities.chosen === null} onChoose={() => choose(null)} />
          {qualities.choices.map(({ index, label: name }) => (
            <Item key={index} label={name} isChosen={qualities.chosen === index} onChoose={() => choose(index)} />
          ))}
        </div>
      )}
    </span>
  );
}

function Item({ label, isChosen, onChoose }: { label: string; isChosen: boolean; onChoose: () => void }) {
  return (
    <button class="menu-item" type="button" role="menuitemradio" aria-checked={isChosen} tabIndex={-1} onClick={onChoose}>
      {label}
    </button>
  );
}
