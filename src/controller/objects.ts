// Operations on single objects of the API server: read, create, replace, patch.

/** An object of the API server. Its content is checked where it is used. */
export interface StoredObject {
  readonly metadata: {
    readonly name?: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Rejects if the API server is unavailable, or refuses. Paths begin with `/api`. */
export interface Objects {
  /** null: it does not exist. */
  get(path: string): Promise<StoredObject | null>;
  /** `path` is the collection's. false: it already exists. */
  create(path: string, object: object): Promise<boolean>;
  /** false: somebody else has changed or removed it since it was read. */
  replace(path: string, object: StoredObject): Promise<boolean>;
  /** A strategic merge patch: lists are merged by the keys of their elements. false: it does not exist any more. */
  patch(path: string, change: object): Promise<boolean>;
}
