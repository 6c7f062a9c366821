/** The settings of a module as the fields of a form. */
import type { Shapes } from '../kit/api';

export type Setting = Pick<Shapes['Setting'], 'name' | 'type' | 'default' | 'description' | 'values'>;
export type Field = 'switch' | 'choice' | 'number' | 'text' | 'json';

export function fieldOf(setting: Setting): Field {
  if (setting.type.endsWith(']')) return 'json';
  if (setting.type === 'bool') return 'switch';
  if (setting.type === 'enum') return 'choice';
  if (setting.type === 'chars' || setting.type === 'bytes') return 'text';
  return 'number';
}

/** Return the settings that differ from the module's defaults. */
export function changed(settings: readonly Setting[], given: Record<string, unknown>): Record<string, never> {
  const found: Record<string, unknown> = {};
  for (const setting of settings) {
    const value = given[setting.name];
    if (value === undefined || value === null || value === '') continue;
    if (JSON.stringify(value) !== JSON.stringify(setting.default ?? null)) found[setting.name] = value;
  }
  return found as Record<string, never>;
}
