/** A text editor with line numbers, by CodeMirror; `extensions` add a language. */
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching, defaultHighlightStyle, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, keymap, lineNumbers } from '@codemirror/view';
import { theme } from 'antd';
import { useEffect, useRef } from 'react';

interface EditorProps {
  value: string;
  onChange: (value: string) => void;
  label: string;
  /** A new array makes a new editor: keep the same one while nothing changes. */
  extensions?: Extension[];
  minHeight?: number;
}

const NONE: Extension[] = [];

/** The colours of the default highlighting, which are for a light background, and those that replace them on a dark one. */
const ON_DARK: Record<string, string> = {
  '#404740': '#9aa29a',
  '#708': '#d7a6ff',
  '#219': '#9db8ff',
  '#164': '#7fd1a8',
  '#a11': '#ff9d8a',
  '#e40': '#ffb37a',
  '#00f': '#8fb8ff',
  '#30a': '#b9a6ff',
  '#085': '#6fd3b0',
  '#167': '#7cc7d9',
  '#256': '#8cc4c9',
  '#00c': '#9db8ff',
  '#940': '#e0b080',
  '#f00': '#ff8a8a',
};
const DARK = HighlightStyle.define(
  defaultHighlightStyle.specs.map((spec) => ({ ...spec, color: ON_DARK[spec.color] ?? spec.color })),
  { themeType: 'dark' },
);

export function Editor({ value, onChange, label, extensions = NONE, minHeight = 160 }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const tell = useRef(onChange);
  tell.current = onChange;
  const { token } = theme.useToken();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another value is set on the editor that is there, below
  useEffect(() => {
    if (!place.current) return;
    const dark = token.colorBgBase === '#000';
    const look = EditorView.theme(
      {
        '&': {
          border: `1px solid ${token.colorBorder}`,
          borderRadius: '6px',
          background: token.colorBgContainer,
          color: token.colorText,
        },
        '.cm-content': { minHeight: `${minHeight}px`, caretColor: token.colorText, fontFamily: 'inherit' },
        '.cm-cursor': { borderLeftColor: token.colorText },
        '.cm-gutters': { background: token.colorFillQuaternary, color: token.colorTextTertiary, border: 'none' },
        '&.cm-focused': { outline: `2px solid ${token.colorPrimaryBorder}` },
        '.cm-selectionBackground, &.cm-focused .cm-selectionBackground': {
          background: `${token.colorPrimary}44 !important`,
        },
        '.cm-tooltip': {
          background: token.colorBgElevated,
          color: token.colorText,
          border: `1px solid ${token.colorBorder}`,
        },
        '.cm-scroller': { maxHeight: '60vh', overflow: 'auto' },
      },
      { dark },
    );
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          ...extensions,
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          syntaxHighlighting(dark ? DARK : defaultHighlightStyle, { fallback: true }),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': label }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) tell.current(update.state.doc.toString());
          }),
          look,
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, [extensions, label, token, minHeight]);
  useEffect(() => {
    const now = view.current;
    if (now && now.state.doc.toString() !== value)
      now.dispatch({ changes: { from: 0, to: now.state.doc.length, insert: value } });
  }, [value]);
  return <div ref={place} className="mono" />;
}
