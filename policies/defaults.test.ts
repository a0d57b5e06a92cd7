import { describe, expect, it } from 'vitest'
import { defaultPolicies } from './defaults.js'
import { compileMatrix } from './matcher/compile.js'
import { matchEvent } from './matcher/match.js'
import type { Decision, MatchableEvent } from './matcher/types.js'
import { type Template, templateSchema } from './schemas/template.js'
import { renderStepParams } from './templates/steps.js'
import { event, githubEvents } from './testing.js'

const matrix = compileMatrix(defaultPolicies.reaction_matrix, { version: 1 })
const decisions = (of: MatchableEvent): Decision[] =>
  matchEvent(matrix, of, { policies: defaultPolicies }).decisions

/** What GitHub's documented payloads set off: "event type → pattern: decision", and how often. */
const answers = new Map<string, number>()
const templates = new Map<string, Template>()
for (const of of githubEvents()) {
  for (const decision of decisions(of)) {
    const line = `${of.type} → ${decision.pattern_id}: ${decision.decision}`
    answers.set(line, (answers.get(line) ?? 0) + 1)
    if (decision.decision === 'matched')
      templates.set(`${decision.pattern_id} (${of.type})`, decision.template)
  }
}

/** GitHub documents no run that failed; this is one that succeeded, with the other conclusion. */
function failedRun(): MatchableEvent {
  const succeeded = githubEvents().find(
    ({ type, data }) => type === 'github:workflow_run.completed' && runOf(data).conclusion === 'success',
  )
  if (!succeeded) throw new Error('there is no workflow run that succeeded')
  return {
    ...succeeded,
    data: { ...succeeded.data, workflow_run: { ...runOf(succeeded.data), conclusion: 'failure' } },
  }
}

const runOf = (data: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
  ...Object(data.workflow_run),
})

/** Runs a mission's steps as the worker would, with executors that return what they are given. */
function run({ steps }: Template): Record<string, unknown>[] {
  const results: Record<string, unknown> = {}
  return steps.map((step, index) => {
    const rendered = renderStepParams(step.params ?? {}, { steps: results })
    if (!rendered.ok) throw new Error(`${rendered.problem.path}: ${rendered.problem.message}`)
    results[step.key ?? `step-${index + 1}`] = { echo: rendered.value }
    return rendered.value
  })
}

describe('the default reaction matrix', () => {
  it('has no pattern out of service', () => expect(matrix.quarantined).toEqual([]))

  it("answers GitHub's own payloads", () => {
    expect(Object.fromEntries(answers)).toEqual({
      'github:issues.opened → new-issue: matched': 4,
      'github:release.published → new-release: matched': 3,
      'github:dependabot_alert.created → security-alert: matched': 1,
      'github:code_scanning_alert.created → security-alert: matched': 1,
      'github:workflow_job.completed → failed-workflow-job: matched': 1,
      'github:workflow_job.completed → failed-workflow-job: not_matched': 1,
      'github:workflow_run.completed → failed-workflow-run: not_matched': 3,
      'github:check_run.completed → failed-check-run: matched': 1,
      'github:check_run.completed → failed-check-run: not_matched': 2,
    })
  })

  it('records an issue with the longest title that GitHub allows', () => {
    const [of] = githubEvents().filter(({ type }) => type === 'github:issues.opened')
    const data = {
      ...of?.data,
      repository: { full_name: `${'o'.repeat(39)}/${'r'.repeat(100)}` },
      issue: { ...Object(of?.data.issue), title: 't'.repeat(256), number: 1_234_567 },
    }
    const [decision] = decisions(event('github:issues.opened', data))
    if (decision?.decision !== 'matched') throw new Error('the issue was not answered')
    // The executor radar takes 300 characters.
    expect(String(run(decision.template).at(-1)?.title).length).toBeLessThanOrEqual(300)
  })

  it('answers a failed workflow run, and its failed job under the same key', () => {
    const of = failedRun()
    expect(decisions(of)).toMatchObject([
      {
        pattern_id: 'failed-workflow-run',
        decision: 'matched',
        cooldown: { minutes: 30, key: 'octo-org/octo-repo' },
        dedupe_key: `workflow-run-${runOf(of.data).id}`,
      },
    ])
    const [job] = githubEvents()
      .filter(({ type }) => type === 'github:workflow_job.completed')
      .flatMap(decisions)
    expect(job).toMatchObject({
      pattern_id: 'failed-workflow-job',
      dedupe_key: expect.stringMatching(/^workflow-run-[0-9]+$/),
    })
  })

  it('answers missions that fail, once there are three of a source', () => {
    const data = { mission_id: 'm-1', title: 'Do it', source: 'github-ci', status: 'failed', steps: {} }
    expect(decisions(event('mission:failed', data))).toMatchObject([
      {
        pattern_id: 'failing-missions',
        threshold: { count: 3, within_minutes: 60, key: 'github-ci' },
        dedupe_key: 'failing-missions-github-ci',
        template: { title: 'Missions from github-ci keep failing' },
      },
    ])
  })

  it('keeps one pattern in shadow', () => {
    const shadows = githubEvents()
      .flatMap(decisions)
      .filter(({ mode }) => mode === 'shadow')
    expect(new Set(shadows.map(({ pattern_id }) => pattern_id))).toEqual(new Set(['failed-check-run']))
  })

  it.each([...templates])('%s makes a proposal that holds', (_name, made) => {
    expect(templateSchema.safeParse(made).success).toBe(true)
    expect(JSON.stringify(run(made))).not.toMatch(/\{\{|undefined|\[object/)
  })

  it('passes results on from step to step', () => {
    const made = templates.get('new-release (github:release.published)')
    if (!made) throw new Error('no release was answered')
    const [notes, announce, record] = run(made)
    expect(notes).toMatchObject({ version: '0.0.1', instructions: expect.stringContaining('Tell users') })
    expect(announce?.text).toContain('Hello-World 0.0.1 is out.')
    expect(record).toMatchObject({ action: 'add', description: announce?.text, topic: 'releases' })
  })
})

describe('the default gate', () => {
  it('auto-approves every kind and risk of the matrix but the high ones', () => {
    const { allowed_step_kinds: kinds, max_risk_level } = defaultPolicies.auto_approve
    expect(max_risk_level).toBe('medium')
    for (const [name, { steps, risk_level }] of templates) {
      for (const { kind } of steps) expect(kinds).toContain(kind)
      expect(risk_level === 'high', name).toBe(name.startsWith('security-alert'))
    }
  })

  it('caps the source of new issues below the number of issues that GitHub documents', () => {
    expect(defaultPolicies.proposal_caps.per_source).toEqual({ 'github-issues': 3 })
    const sources = githubEvents()
      .flatMap(decisions)
      .flatMap((decision) => (decision.decision === 'matched' ? decision.proposal_source : []))
    expect(sources.filter((source) => source === 'github-issues')).toHaveLength(4)
  })
})
