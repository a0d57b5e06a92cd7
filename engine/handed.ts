import { type ClaimedStep, claimedStep } from './types/steps.js'

/**
 * The step that a notification on a worker's own channel hands to it (`HandedSteps`); undefined when there is none in it, because it
 * was too long for one: ask `handedSteps` then.
 */
export function readHandedStep(payload: string): ClaimedStep | undefined {
  if (payload === '') return undefined
  return claimedStep.safeParse(parsed(payload)).data
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
