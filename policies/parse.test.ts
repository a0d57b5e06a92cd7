import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultPolicies } from './defaults.js'
import { parsePolicy } from './parse.js'
import { policyKeys } from './schemas/index.js'
import { pattern, template } from './testing.js'

const problems = (key: string, value: unknown) => {
  const parsed = parsePolicy(key, value)
  return parsed.ok ? [] : parsed.problems.map(({ path, message }) => `${path}: ${message}`)
}

const inMatrix = (...patterns: unknown[]) => problems('reaction_matrix', { patterns })

describe('parsePolicy', () => {
  it('fills in defaults', () => {
    expect(parsePolicy('control', {})).toEqual({
      ok: true,
      value: {
        pause: { intake: false, reactions: false, approvals: false, claims: false, executors: [] },
        max_depth: 8,
        max_missions_per_root_event: 50,
      },
    })
    expect(parsePolicy('worker_policy', {})).toMatchObject({
      value: { max_retries: 3, lease_minutes: 5, stale_minutes: 15 },
    })
    expect(parsePolicy('approvals', {})).toMatchObject({ value: { expires_minutes: 1440 } })
  })

  it('tells of the first hundred problems', () => {
    const unknown = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`max_dept${n}`, 1]))
    expect(problems('control', unknown)).toHaveLength(100)
    expect(problems('control', unknown)[0]).toBe('max_dept0: is unknown; did you mean "max_depth"?')
    const wrong = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`agent-${n}`, { ...unknown }]))
    expect(problems('agent_roles', wrong)).toHaveLength(100)
  })

  it('knows the rows that operators are told to write', () => {
    const kinds = ['noop', 'openclaw', 'wreckit', 'radar', 'minion']
    expect(problems('auto_approve', { enabled: true, allowed_step_kinds: kinds })).toEqual([])
    expect(
      problems('auto_approve', {
        enabled: true,
        allowed_step_kinds: ['openclaw:scout'],
        max_risk_level: 'low',
      }),
    ).toEqual([])
    expect(problems('proposal_caps', { daily_limit: 20, per_source: { github: 10 } })).toEqual([])
    expect(
      problems('worker_policy', {
        max_retries: 3,
        allowed_openclaw_subcommands: ['agent'],
        allowed_tools: ['x'],
      }),
    ).toEqual([])
    expect(
      problems('agent_roles', {
        scout: { instructions: 'Look.', model: 'm', tools: ['web'], temperature: 0.3 },
      }),
    ).toEqual([])
  })

  it('knows each check by a name of its own', () => {
    const check = (name: string) => ({ name, severity: 'high', sql: 'select 1' })
    expect(problems('invariants', { checks: [check('mine'), check('yours'), check('mine')] })).toEqual([
      'checks[2].name: "mine" is there twice',
    ])
  })

  it('reads per_source_limits as per_source', () => {
    expect(parsePolicy('proposal_caps', { per_source_limits: { github: 2 } })).toMatchObject({
      value: { per_source: { github: 2 }, time_zone: 'UTC' },
    })
    expect(problems('proposal_caps', { per_source_limits: {}, per_source: {} })).toEqual([
      'per_source_limits: is another name for per_source; give one of them',
    ])
  })

  it.each([
    ['contrl', {}, ': there is no policy "contrl"; did you mean "control"?'],
    ['control', { max_dept: 3 }, 'max_dept: is unknown; did you mean "max_depth"?'],
    ['control', { pause: { claim: true } }, 'pause.claim: is unknown; did you mean "claims"?'],
    ['agent_roles', { scout: { modle: 'm' } }, 'scout.modle: is unknown; did you mean "model"?'],
    ['approvals', { when: 1 }, 'when: is unknown; known names: expires_minutes'],
    ['control', { max_depth: '3' }, 'max_depth: must be number, received string'],
    ['control', { max_depth: 1.5 }, 'max_depth: must be a whole number'],
    ['control', { max_depth: 101 }, 'max_depth: must be at most 100'],
    ['approvals', { expires_minutes: 0 }, 'expires_minutes: must be at least 1'],
    [
      'auto_approve',
      { max_risk_level: 'huge' },
      'max_risk_level: must be one of "low", "medium", "high", "critical"',
    ],
    [
      'services',
      { services: { a: { url: 'http://x', expect_status: [] } } },
      'services.a.expect_status: must have at least 1 items',
    ],
    ['agent_roles', { a: { model: '' } }, 'a.model: must have at least 1 characters'],
    ['control', null, ': must be object, received null'],
    ['invariants', { checks: [{ name: 'a', severity: 'info' }] }, 'checks[0].sql: is required'],
    ['proposal_caps', { time_zone: 'Mars/Olympus' }, 'time_zone: is not a known IANA time zone'],
    [
      'proposal_caps',
      { per_source: { '{{x}}': 1 } },
      'per_source["{{x}}"]: has a name that must be letters, digits, "_", ".", ":" or "-"; placeholders are not allowed here',
    ],
    [
      'schedules',
      { schedules: [{ id: 'a', cron: 'daily', event: { type: 'a' } }] },
      'schedules[0].cron: must be five cron fields: minute hour day month weekday',
    ],
    [
      'schedules',
      { schedules: [{ id: 'a', cron: '99 * * * *', event: { type: 'a' } }] },
      'schedules[0].cron: is not a cron expression: a field is out of range',
    ],
    [
      'schedules',
      { schedules: [{ id: 'a', cron: '0 9 31 4,6 *', event: { type: 'a' } }] },
      'schedules[0].cron: never comes: none of its months has such a day',
    ],
    [
      'worker_policy',
      { allowed_commands: ['rm'] },
      'allowed_commands[0]: must be an absolute path without spaces',
    ],
  ])('%s %j: %s', (key, value, problem) => expect(problems(key, value)).toEqual([problem]))

  it('names unknown fields deep in the matrix', () => {
    expect(inMatrix(pattern(), pattern({ id: 'q', colldown: 3 }))).toEqual([
      'patterns[1].colldown: is unknown; did you mean "cooldown"?',
    ])
    expect(inMatrix(pattern({ template: { title: 't', steps: [{ kind: 'noop', parms: {} }] } }))).toEqual([
      'patterns[0].template.steps[0].parms: is unknown; did you mean "params"?',
    ])
  })

  it.each([
    ['no CEL', { when: '1 +' }, 'patterns[0].when: Unexpected token: EOF (at character 4)'],
    ['CEL that is no condition', { when: '"a"' }, 'patterns[0].when: gives string, not true or false'],
    [
      'an invalid regular expression',
      { when: 'event.type.matches("(")' },
      'patterns[0].when: error parsing regexp: missing closing ): `(`',
    ],
    [
      'an unknown placeholder',
      { dedupe_key: '{{env.KEY}}' },
      'patterns[0].dedupe_key: {{env.KEY}} cannot be used here: placeholders here begin with event, policy, role',
    ],
    [
      'a half placeholder',
      { cooldown_key: '{{event.type' },
      'patterns[0].cooldown_key: holds "{{" that begins no placeholder; write {{"{{"}} for two braces',
    ],
    [
      'a result in a title',
      { template: template({}, { title: '{{steps.a.result}}' }) },
      'patterns[0].template.title: {{steps.a.result}} cannot be used here: placeholders here begin with event, policy, role',
    ],
    [
      'a placeholder in a name',
      { template: template({ '{{event.id}}': 1 }) },
      'patterns[0].template.steps[0].params["{{event.id}}"]: has a name with "{{"; names are not rendered',
    ],
    [
      'the result of itself',
      { template: template({ a: '{{steps.step-1.result.x}}' }) },
      'patterns[0].template.steps[0].params: uses the result of "step-1", which need not be there yet',
    ],
    [
      'a heartbeat',
      { event_type: ['a', 'heartbeat:success'] },
      'patterns[0].event_type: heartbeat:* events are never answered',
    ],
    [
      'an alias beside its name',
      { type: 'b' },
      'patterns[0].type: is another name for event_type; give one of them',
    ],
    [
      'another alias beside its name',
      { cooldown: 1, cooldown_minutes: 2 },
      'patterns[0].cooldown: is another name for cooldown_minutes; give one of them',
    ],
    [
      'two agents',
      { target: 'a', template: template({}, { agent: 'b' }) },
      'patterns[0].target: is another name for template.agent, which says something else',
    ],
  ])('refuses a pattern with %s', (_name, fields, problem) =>
    expect(inMatrix(pattern(fields))).toEqual([problem]),
  )

  it('refuses two patterns of one id', () => {
    expect(inMatrix(pattern(), pattern())).toEqual(['patterns[1].id: "p" is the id of another pattern'])
  })

  it('resolves the aliases of a pattern', () => {
    const parsed = parsePolicy('reaction_matrix', {
      patterns: [{ name: 'n', type: ['a', 'b', 'a'], cooldown: 5, target: 'scout', template: template() }],
    })
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        patterns: [
          { id: 'n', name: 'n', event_types: ['a', 'b'], cooldown_minutes: 5, template: { agent: 'scout' } },
        ],
      },
    })
    expect(parsePolicy('reaction_matrix', { patterns: [pattern({ id: 'only' })] })).toMatchObject({
      value: { patterns: [{ id: 'only', name: 'only', enabled: true, mode: 'active', probability: 1 }] },
    })
  })

  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...policyKeys), fc.string()), fc.anything(), (key, value) => {
        expect(parsePolicy(key, value)).toHaveProperty('ok')
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the default policies', () => {
  it.each(policyKeys)('%s is valid', (key) => expect(problems(key, defaultPolicies[key])).toEqual([]))
})
