/**
 * What a repository tells over a busy day: GitHub's own example payloads, in an order that shows what the default policies do with
 * them. Some match nothing, as in real life.
 */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { z } from 'zod'
import type { JsonObject } from '../engine/index.js'

export interface GithubDelivery {
  /** The header `X-GitHub-Event`. */
  event: string
  /** The header `X-GitHub-Delivery`: the same for the same example, however often it is played. */
  id: string
  /** The type of the event that the webhook makes of it. */
  type: string
  payload: JsonObject
}

/** An event and its action, and which of GitHub's examples of that action, from 0. */
const SEQUENCE: readonly (readonly [type: string, nth: number])[] = [
  ['star.created', 0],
  ['push', 4],
  ['workflow_run.requested', 0],
  ['issues.opened', 0],
  ['issue_comment.created', 1],
  ['workflow_job.in_progress', 1],
  ['workflow_job.completed', 0], // failure: a mission for CI
  ['check_run.completed', 0], // failure too, but that pattern is a shadow
  ['issues.opened', 1],
  ['issues.labeled', 0],
  ['pull_request.opened', 1],
  ['pull_request_review.submitted', 1],
  ['check_run.completed', 1],
  ['workflow_run.completed', 1], // success
  ['release.published', 0], // a mission of three steps
  ['dependabot_alert.created', 0], // high risk: waits for a person
  ['issues.opened', 2],
  ['deployment_status.created', 0],
  ['release.published', 1], // the same release again: cooldown
  ['issues.opened', 3], // the fourth of the day: capped
  ['issue_comment.created', 2],
  ['code_scanning_alert.created', 0], // waits as well
  ['dependabot_alert.fixed', 0],
  ['pull_request.closed', 0],
  ['discussion.created', 1],
  ['fork', 0],
  ['milestone.closed', 0],
  ['watch.started', 0],
]

const examplesSchema = z.array(
  z.object({ name: z.string(), examples: z.array(z.record(z.string(), z.unknown())) }),
)

/** The whole sequence, as it would arrive. */
export function githubDeliveries(): GithubDelivery[] {
  const all = examplesSchema.parse(createRequire(import.meta.url)('@octokit/webhooks-examples'))
  return SEQUENCE.map(([type, nth]) => {
    const [event = '', action] = type.split('.')
    const examples = all.find(({ name }) => name === event)?.examples ?? []
    const payload = examples.filter((example) => action === undefined || example.action === action)[nth]
    if (payload === undefined) throw new Error(`@octokit/webhooks-examples has no ${type} number ${nth}`)
    return { event, id: deliveryId(`${type} ${nth}`), type: `github:${type}`, payload }
  })
}

/** A UUID made from a name: version 8 of RFC 9562. */
function deliveryId(name: string): string {
  const hex = createHash('sha256').update(`ops-loop demo: ${name}`).digest('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}
