import { z } from 'zod'
import { count, type JsonObject, jsonObject, timestamp } from './json.js'

export const policyRow = z.object({
  key: z.string(),
  value: z.unknown(),
  /** From 1, one more with every change. */
  version: count,
  updated_at: timestamp,
})
export type PolicyRow = z.infer<typeof policyRow>

/** A policy to put in force, or to delete. */
export interface PolicyInput {
  key: string
  /** As an operator writes it: without defaults, aliases as they are. Null deletes it. */
  value: JsonObject | null
  /** The version that the caller has seen, 0 for none; when another is in force by now, nothing is changed (`OPS_014`). */
  expected_version?: number | undefined
}

export const appliedPolicy = z.object({
  key: z.string(),
  outcome: z.enum(['created', 'changed', 'deleted', 'unchanged']),
  /** Now in force; 0: none. */
  version: count,
  /** 0: there was none. */
  previous_version: count,
})
export type AppliedPolicy = z.infer<typeof appliedPolicy>

/** One change of a policy. */
export const policyChange = z.object({
  /** `*`: of all at once, by TRUNCATE. */
  key: z.string(),
  action: z.enum(['insert', 'update', 'delete', 'truncate', 'rollback']),
  /** Null when it was deleted. */
  version: count.nullable(),
  previous_version: count.nullable(),
  value: z.unknown(),
  previous_value: z.unknown(),
  /** The login or JWT that made it, behind the name that was given for it, if one was. */
  changed_by: z.string(),
  actor: jsonObject,
  changed_at: timestamp,
})
export type PolicyChange = z.infer<typeof policyChange>

/** Lines of a recording, or null when there are more than were asked for. */
export const recordedLines = z.array(jsonObject).nullable()
