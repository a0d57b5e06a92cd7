/**
 * Everything that goes into and comes out of the engine, by concern. Field names are those of the SQL functions.
 *
 * What comes out is a zod schema first and a type second: answers are checked once at the doorway and trusted from there.
 */
export type * from './types/engine.js'
export type * from './types/events.js'
export type * from './types/installation.js'
export type * from './types/json.js'
export type * from './types/operations.js'
export type * from './types/policies.js'
export type * from './types/proposals.js'
export type * from './types/radar.js'
export type * from './types/records.js'
export type * from './types/schedules.js'
export type * from './types/services.js'
export type * from './types/steps.js'
export type * from './types/watch.js'
