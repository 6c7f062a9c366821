import { describe, expect, it } from 'vitest';
import { ofNode, overSql, spanOf } from './over';

const over = { table: 'host_usage', where: ofNode({ gid: 1, nid: 7 }), seconds: 900, step: 15 };

describe('overSql', () => {
  it('names each aggregate', () =>
    expect(overSql(over, { user: 'avg(cpu_user)', system: 'avg(cpu_system)' })).toBe(
      'SELECT at, p.1 AS series, p.2 AS value FROM (SELECT toStartOfInterval(time, INTERVAL 15 SECOND) AS at, ' +
        'toFloat64(avg(cpu_user)) AS v0, toFloat64(avg(cpu_system)) AS v1 FROM host_usage ' +
        'WHERE time > now() - INTERVAL 900 SECOND AND gid = 1 AND nid = 7 GROUP BY at) ' +
        "ARRAY JOIN [('user', v0), ('system', v1)] AS p ORDER BY at",
    ));
  it('makes series for each value of an expression', () => {
    const sql = overSql({ ...over, by: 'device' }, { read: 'sum(reads)', '': 'sum(writes)' });
    expect(sql).toContain('device AS what');
    expect(sql).toContain('GROUP BY at, what');
    expect(sql).toContain("[(concat(toString(what), ' read'), v0), (toString(what), v1)]");
  });
  it('asks for all rows without a condition', () =>
    expect(overSql({ ...over, where: '' }, { n: 'count()' })).toContain('SECOND GROUP BY at'));
});

describe('spanOf', () => {
  it('has no step without a sample', () => expect(spanOf('15m')).toEqual({ seconds: 900, step: 15 }));
  it('has about 120 steps', () => expect(spanOf('1d')).toEqual({ seconds: 86_400, step: 720 }));
});
