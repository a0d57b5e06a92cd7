import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { compileCondition } from './condition.js'
import { WORK_LIMIT } from './meter.js'
import { EventScope } from './scope.js'

const scope = (data: Record<string, unknown> = {}, depth = 2n) =>
  new EventScope('event-1', 'app:done', data, depth, new Date('2026-01-31T09:30:00Z'))

const run = (expression: string, data?: Record<string, unknown>) => compileCondition(expression)(scope(data))

const data = {
  conclusion: null,
  size: 3,
  ratio: 1.5,
  name: 'release/1.2',
  labels: [{ name: 'bug' }, { name: null }],
  numbers: [1, 2, 3],
  nested: { a: { b: true } },
  digits: '1'.repeat(100_000),
}

describe('a condition', () => {
  it.each([
    ['event.type == "app:done"', true],
    ['event.id == "event-1"', true],
    ['event.depth == 2 && event.depth + 1 > 2', true],
    ['event.created_at < timestamp("2026-02-01T00:00:00Z")', true],
    ['event.created_at.getHours() >= 18', false],
    ['event.created_at.getHours("Europe/Berlin") == 10', true],
    ['event.created_at - timestamp("2026-01-31T09:00:00Z") == duration("30m")', true],
    ['event.data.conclusion == "failure"', false],
    ['event.data.conclusion == null', true],
    ['event.data.size == 3', true],
    ['event.data.size > 2 && event.data.size < 3.5', true],
    ['event.data.size + 1 == 4 && event.data.size / 2 == 1.5 && 2 * event.data.size - 1 == 5', true],
    ['event.data.ratio * 2.0 == 3.0', true],
    ['event.data.name in ["a", "release/1.2"]', true],
    ['2 in event.data.numbers', true],
    ['event.data.labels.exists(label, label.name == "bug")', true],
    ['event.data.labels.all(label, label.name == "bug")', false],
    ['event.data.labels.filter(label, label.name != null).size() == 1', true],
    ['event.data.numbers.map(n, n * 2).exists(n, n == 6)', true],
    ['has(event.data.nested.a.b) && !has(event.data.nested.c)', true],
    ['event.data["nested"].a["b"]', true],
    ['event.data.name.startsWith("release/") && event.data.name.contains("1.")', true],
    ['event.data.name.matches("^release/[0-9]+")', true],
    ['event.data.name.matches("^[0-9]+$")', false],
    ['event.data.missing == 1 || event.data.size == 3', true],
    ['!event.data.nested.a.b', false],
  ])('%s: %s', (expression, met) => expect(run(expression, data)).toEqual({ ok: true, met }))

  it.each([
    ['event.data.missing == 1', 'No such key: missing'],
    ['event.data.name', 'gives string, not true or false'],
    ['event.data.conclusion', 'gives null, not true or false'],
    ['event.data.numbers[7] == 1', 'index out of bounds'],
    ['duration(event.data.digits) == duration("1s")', 'duration() takes at most 50 characters'],
    ['event.data.size.matches("3")', 'matches() is for strings'],
    ['event.data.constructor == 1', 'No such key: constructor'],
    ['event.data.__proto__ == 1', 'No such key: __proto__'],
    ['event.data.nested + 1 == 2', 'no such overload'],
  ])('%s is an error: %s', (expression, message) =>
    expect(run(expression, data)).toEqual({ ok: false, message: expect.stringContaining(message) }),
  )

  it.each([
    'event.data[event.data.digits] == 1',
    'bool(event.data.digits)',
    'event.created_at.getHours(event.data.digits) == 1',
  ])('%s is an error that quotes the beginning of what is wrong', (expression) => {
    const verdict = run(expression, data)
    expect(verdict).toEqual({ ok: false, message: expect.stringMatching(/111…$/) })
    expect(verdict).toEqual({ ok: false, message: expect.stringMatching(/^.{500}$/) })
  })

  it.each([
    ['', 'Unexpected token: EOF'],
    ['event.data.size >', 'Unexpected token: EOF'],
    ['event.dta.size == 1', 'No such key: dta'],
    ['request.size == 1', 'Unknown variable: request'],
    ['"yes"', 'gives string, not true or false'],
    ['event.created_at', 'not true or false'],
    ['event.type.matches("(")', 'missing closing )'],
    ['event.type.matches("(?=a)")', 'invalid'],
    ['event.type.matches("(a)\\\\1")', 'invalid escape'],
    ['event.type.matches(event.id)', 'must be written out as a string'],
    [`event.type.matches("${'a'.repeat(501)}")`, 'at most 500 characters'],
    ['event.type.matches("(((a{30}){30}b){1}c{1000}d{1000}e{1000})")', 'too large'],
    [Array.from({ length: 200 }, () => 'event.depth == 1').join(' || '), 'Exceeded maxAstNodes'],
    [`${'('.repeat(60)}true${')'.repeat(60)}`, 'Exceeded maxDepth'],
  ])('refuses %s', (expression, message) => expect(() => compileCondition(expression)).toThrow(message))
})

describe('the clock of a condition', () => {
  // At half past two in the morning of that day there was no such time in Berlin.
  const told = [
    ['2026-03-29T02:30:00Z', 'getHours("UTC")', 2],
    ['2026-03-29T02:30:00Z', 'getHours("America/New_York")', 22],
    ['2026-03-29T02:30:00Z', 'getMinutes("Asia/Kathmandu")', 15],
    ['2026-03-29T02:30:00Z', 'getDate("America/New_York")', 28],
    ['2026-03-29T02:30:00Z', 'getDayOfMonth("America/New_York")', 27],
    ['2026-03-29T02:30:00Z', 'getDayOfWeek("America/New_York")', 6],
    ['2026-03-29T02:30:00Z', 'getMonth("America/New_York")', 2],
    ['2026-01-01T02:30:05Z', 'getFullYear("America/New_York")', 2025],
    ['2026-01-01T02:30:05Z', 'getSeconds("America/New_York")', 5],
    ['2026-01-01T02:30:05.250Z', 'getMilliseconds("America/New_York")', 250],
    ['2026-01-01T02:30:05Z', 'getDayOfYear("America/New_York")', 364],
    ['2028-02-29T12:00:00Z', 'getDayOfYear()', 59],
    ['2026-07-01T22:30:00Z', 'getDayOfYear()', 181],
    ['2026-07-01T22:30:00Z', 'getDayOfYear("Europe/Berlin")', 182],
    ['2026-07-01T22:30:00Z', 'getHours("Europe/Berlin")', 0],
  ] as const

  it.each(['UTC', 'Europe/Berlin', 'America/New_York', 'Pacific/Auckland'])(
    'is that of the zone it names, on a machine in %s too',
    async (zone) => {
      const program = `
        import { compileCondition } from ${JSON.stringify(new URL('condition.ts', import.meta.url).href)}
        import { EventScope } from ${JSON.stringify(new URL('scope.ts', import.meta.url).href)}
        for (const [at, call, expected] of ${JSON.stringify(told)}) {
          const event = new EventScope('event-1', 'app:done', {}, 0n, new Date(at))
          const verdict = compileCondition('event.created_at.' + call + ' == ' + expected)(event)
          if (!verdict.met) console.log(at, call, 'is not', expected, verdict)
        }
        console.log('all of them')`
      const node = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', program]
      const { stdout } = await promisify(execFile)(process.execPath, node, {
        env: { ...process.env, TZ: zone },
      })
      expect(stdout).toBe('all of them\n')
    },
  )
})

describe('the work of a condition', () => {
  const items = Array.from({ length: 20_000 }, (_, index) => ({
    name: `item ${index}`,
    text: 'x'.repeat(20),
  }))
  // Looked for in the text, it all but fits everywhere.
  const needle = `${'a'.repeat(50_000)}b${'a'.repeat(50_000)}`
  const hostile = { items, text: 'a'.repeat(500_000), needle, deep: nested(10_000) }
  const tooMuch = { ok: false, message: `takes more than ${WORK_LIMIT} units of work on this event` }

  it.each([
    'event.data.items.all(a, event.data.items.exists(b, b.name == a.name))',
    'event.data.items.all(a, event.data.items.all(b, event.data.items.all(c, a != b || b != c || true)))',
    'event.data.items.exists(a, event.data.text.contains("b"))',
    'event.data.items.exists(a, event.data.text.matches("b$"))',
    'event.data.text.contains(event.data.needle)',
    'event.data.text.indexOf(event.data.needle) >= 0',
    'event.data.text.lastIndexOf(event.data.needle, 400000) >= 0',
    'event.data.text.split(event.data.needle).size() > 1',
    'event.data.items.exists(a, event.data == event.data && false) || true',
    'event.data.items.all(a, event.created_at.getHours("Europe/Berlin") == 10)',
    'event.data.items.exists(a, a.nothing.at == "all" || event.data.items.exists(b, b.nothing.at == "all")) || true',
    '[event.data.text].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).size() > 0',
    '[[1, 2]].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).size() > 0',
  ])('is bounded: %s', (expression) => {
    const condition = compileCondition(expression)
    expect(condition(scope(hostile))).toEqual(tooMuch)
  })

  it('is no obstacle to regular expressions that make others hang', () => {
    expect(run('event.data.text.matches("^(a+)+$")', { text: `${'a'.repeat(50_000)}!` })).toEqual({
      ok: true,
      met: false,
    })
  })

  it('is enough for the largest text that an event can hold, and for a list of a thousand', () => {
    expect(run('event.data.text.contains("needle")', { text: 'x'.repeat(1_000_000) })).toEqual({
      ok: true,
      met: false,
    })
    const [text, sentence] = ['x'.repeat(500_000), 'y'.repeat(1000)]
    expect(run('event.data.text.contains(event.data.sentence)', { text, sentence })).toEqual({
      ok: true,
      met: false,
    })
    const list = items.slice(0, 1000)
    expect(run('event.data.list.exists(a, a.name == "item 999" && a.text != "")', { list })).toEqual({
      ok: true,
      met: true,
    })
  })

  it('begins anew with each event', () => {
    const condition = compileCondition('event.data.items.all(a, a.name != "" && a.text != "y")')
    expect(condition(scope({ items }))).toEqual(tooMuch)
    expect(condition(scope({ items: items.slice(0, 10) }))).toEqual({ ok: true, met: true })
  })

  it('survives data that nests deep', () => {
    expect(run('event.data.deep == event.data.deep && event.data.deep == [1]', hostile)).toHaveProperty('ok')
    expect(run('event.data.deep in [[[1]]]', hostile)).toHaveProperty('ok')
    expect(run('event.data.deep == "failure"', hostile)).toEqual({ ok: true, met: false })
    expect(run('!event.data.deep', hostile)).toEqual({
      ok: false,
      message: expect.stringMatching(/^no such overload: !list<.{1,100}$/),
    })
  })

  it('keeps nothing of the shapes of what it has seen', async () => {
    const folder = new URL('.', import.meta.url)
    const program = `
      import { compileCondition } from ${JSON.stringify(new URL('condition.ts', folder).href)}
      import { EventScope } from ${JSON.stringify(new URL('scope.ts', folder).href)}
      ${nested}
      const condition = compileCondition('event.data.deep == "failure"')
      for (let shape = 0; shape < 40; shape++)
        condition(new EventScope('event-1', 'app:done', { deep: nested(1000, shape) }, 0n, new Date()))
      console.log('all of them')`
    // It would take more than a gigabyte, and end for want of memory.
    const node = [
      '--max-old-space-size=200',
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '-e',
      program,
    ]
    expect((await promisify(execFile)(process.execPath, node)).stdout).toBe('all of them\n')
  })
})

/** Lists in lists, and objects between them: where, is by the shape. */
function nested(levels: number, shape = 0): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = (shape >> (level % 6)) % 2 ? { value } : [value]
  return value
}
