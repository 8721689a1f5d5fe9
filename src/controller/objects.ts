// What parts of the controller do to single objects of the API server: read, make, replace, patch.

/** An object as the API server has it. What is in it is looked at where it is used. */
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

/** Rejects where the API server can't be asked, or does not allow it. Paths begin with `/api`. */
export interface Objects {
  /** null: there is none. */
  get(path: string): Promise<StoredObject | null>;
  /** `path` is that of the collection. false: there is one already. */
  create(path: string, object: object): Promise<boolean>;
  /** false: somebody else has changed or removed it since it was read. */
  replace(path: string, object: StoredObject): Promise<boolean>;
  /** A strategic merge patch: lists are merged by the keys of their elements. false: it is no longer there. */
  patch(path: string, change: object): Promise<boolean>;
}
