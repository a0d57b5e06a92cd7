import { PolicyFault } from '../fault.js'
import { jsonSchemaOf } from '../json-schema.js'
import { problemsOf } from '../problems.js'
import { type Template, templateSchema } from '../schemas/template.js'
import { Budget } from './budget.js'
import { compileObject } from './json.js'
import { outcomeOf, type Rendered } from './outcome.js'
import { resolvePath } from './resolve.js'
import { joinPath, stringsIn } from './scan.js'
import { compileText, type Grammar } from './text.js'

/** What placeholders see: the event, and every policy by its key; `role` is the entry of the agent in agent_roles. */
export interface ProposalScope {
  event: Readonly<Record<string, unknown>>
  policy: Readonly<Record<string, unknown>>
}

/** Characters that a rendered template may hold. */
export const MAX_TEMPLATE_CHARACTERS = 262_144

const TITLE_CHARACTERS = 200
const DESCRIPTION_CHARACTERS = 4000

const roots = new Set(['event', 'policy', 'role'])

/** The grammar of text that is final once it is rendered. */
export const finalText: Grammar = { roots, keepSteps: false, strict: true }
/** The grammar of params, which the worker renders once more when the steps before have results. */
const paramsText: Grammar = { roots, keepSteps: true, strict: true }

/**
 * Renders a proposal's template for an event. Never throws.
 *
 * Only title, description and params are rendered: what is done, by whom, in which order and at what risk stays as
 * the operator wrote it. Text from the event is never read as a template, now or later.
 */
export function renderTemplate(template: unknown, scope: ProposalScope): Rendered<Template, 'OPS_008'> {
  return outcomeOf('OPS_008', '', () => {
    const parsed = templateSchema.safeParse(template)
    if (parsed.success) return compileTemplate(parsed.data, '')(scope)
    const [first] = problemsOf(parsed.error, jsonSchemaOf(templateSchema))
    throw new PolicyFault(first?.path ?? '', first?.message ?? 'is not a template')
  })
}

/**
 * Reads the placeholders of a template once, so that it can be rendered for many events.
 *
 * @param path the path of the template, for problems
 * @throws PolicyFault where a placeholder is malformed, unknown or out of place; so does the function it returns,
 *   where one names nothing or the result is too large
 */
export function compileTemplate(template: Template, path: string): (scope: ProposalScope) => Template {
  const { title, description, steps, ...fixed } = template
  refusePlaceholders(fixed, path)
  const titlePath = joinPath(path, 'title')
  const titleText = compileText(title, titlePath, finalText)
  const descriptionText =
    description === undefined ? undefined : compileText(description, joinPath(path, 'description'), finalText)
  const stepsPath = joinPath(path, 'steps')
  const compiledSteps = steps.map((step, index) =>
    compileStep(step, template.agent, joinPath(stepsPath, index)),
  )

  return (scope) => {
    const budget = new Budget(MAX_TEMPLATE_CHARACTERS)
    const own = withRole(scope, template.agent)
    const line = titleText(own, budget).replace(/\s+/g, ' ').trim()
    if (line === '') throw new PolicyFault(titlePath, 'renders to nothing')
    const about = descriptionText && clip(descriptionText(own, budget), DESCRIPTION_CHARACTERS)
    const steps = compiledSteps.map((render) => render(scope, budget))
    // Not spread: what a rest pattern made is slow to spread, which took half of the time of a match.
    const rendered: Template = Object.assign({ title: clip(line, TITLE_CHARACTERS), steps }, fixed)
    if (about !== undefined) rendered.description = about
    return rendered
  }
}

type Step = Template['steps'][number]

function compileStep(
  { params, ...fixed }: Step,
  templateAgent: string | undefined,
  path: string,
): (scope: ProposalScope, budget: Budget) => Step {
  refusePlaceholders(fixed, path)
  if (params === undefined) return () => ({ ...fixed })
  const agent = fixed.agent ?? fixed.kind.split(':')[1] ?? templateAgent
  const render = compileObject(params, joinPath(path, 'params'), paramsText)
  return (scope, budget) => Object.assign({ params: render(withRole(scope, agent), budget) }, fixed)
}

function refusePlaceholders(fixed: object, path: string): void {
  for (const found of stringsIn(fixed, path)) {
    if (found.text.includes('{{')) throw new PolicyFault(found.path, 'may hold no placeholders')
  }
}

function withRole({ event, policy }: ProposalScope, agent: string | undefined) {
  const role = agent === undefined ? undefined : resolvePath(policy, ['agent_roles', agent])
  return role?.found ? { event, policy, role: role.value } : { event, policy }
}

/** Shortens text without cutting a character in two. */
export function clip(text: string, limit: number): string {
  if (text.length <= limit) return text
  const cut = text.slice(0, limit - 1)
  return `${/[\uD800-\uDBFF]$/.test(cut) ? cut.slice(0, -1) : cut}…`
}
