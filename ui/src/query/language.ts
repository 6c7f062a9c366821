/** SQL of our tables for the editor: it completes tables, columns, functions and keywords. */
import { autocompletion, completeFromList, completionKeymap } from '@codemirror/autocomplete';
import { StandardSQL, sql } from '@codemirror/lang-sql';
import { type Extension, Prec } from '@codemirror/state';
import { keymap } from '@codemirror/view';
import type { Shapes } from '../kit/api';

const FUNCTIONS =
  'count sum avg min max any uniq quantile quantiles median topK groupArray argMax argMin countIf sumIf avgIf now toStartOfInterval toStartOfMinute toStartOfHour toString toFloat64 toUInt64 round formatReadableSize formatReadableTimeDelta lower upper position startsWith endsWith match extract splitByChar arrayJoin arraySum arrayStringConcat has length empty notEmpty if multiIf coalesce concat substring dateDiff sumForEach';

export function language(tables: Shapes['TableInfo'][], run: () => void): Extension[] {
  const schema: Record<string, string[]> = {};
  for (const { table } of tables) schema[table.name] = ['gid', 'nid', ...table.columns.map((column) => column.name)];
  const functions = FUNCTIONS.split(' ').map((label) => ({ label, type: 'function', apply: `${label}(` }));
  return [
    Prec.highest(keymap.of([{ key: 'Mod-Enter', run: ran(run) }])),
    sql({ dialect: StandardSQL, schema, upperCaseKeywords: true }),
    StandardSQL.language.data.of({ autocomplete: completeFromList(functions) }),
    autocompletion(),
    keymap.of(completionKeymap),
  ];
}

function ran(run: () => void): () => boolean {
  return () => {
    run();
    return true;
  };
}
