//! Compares the contents of two files: at hand, by their digests, or by reading both to the end.

use super::*;

impl Checker {
    /// Compares small files of two disks, all in one hop.
    pub(super) async fn compare_small(
        &self,
        pairs: Vec<(usize, Entry, Entry)>,
    ) -> Result<Vec<(usize, Entry, Verdict)>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let (indexes, entries): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .map(|(index, source, destination)| (index, (source, destination)))
            .unzip();
        let mut judged = Vec::with_capacity(indexes.len());
        let compared = self.compare_at_hand(entries, None).await?;
        for (index, (verdict, (source, destination))) in indexes.into_iter().zip(compared) {
            let verdict = self.or_by_stream(verdict, &source, &destination).await?;
            judged.push((index, source, verdict));
        }
        Ok(judged)
    }

    /// The verdicts on pairs of files of two disks, each with its files.
    pub(super) async fn compare_at_hand(
        &self,
        pairs: Vec<(Entry, Entry)>,
        counter: Option<Arc<AtomicU64>>,
    ) -> Result<Vec<(Verdict, (Entry, Entry))>> {
        let _permit = self.permit().await?;
        let (source, destination) = (self.source.clone(), self.destination.clone());
        let digests = self.digests.clone();
        blocking(move |cancel| {
            let (Some(from), Some(to)) = (&source.disk, &destination.disk) else {
                return Err(Error::unsupported("read"));
            };
            let mut comparer = Comparer::new(&digests, cancel).counting(counter);
            let (mut left_key, mut right_key) = (String::new(), String::new());
            let compare = |(left, right): (Entry, Entry)| {
                source.put_key(&left, &mut left_key);
                destination.put_key(&right, &mut right_key);
                let files = (
                    AtHand { disk: &**from, key: &left_key, entry: &left },
                    AtHand { disk: &**to, key: &right_key, entry: &right },
                );
                Ok((verdict(comparer.compare(files))?, (left, right)))
            };
            pairs.into_iter().map(compare).collect()
        })
        .await
    }

    /// Compares two files, and counts what is read of the source's.
    pub(super) async fn compare_files(
        &self,
        source: &Entry,
        destination: &Entry,
        counter: Arc<AtomicU64>,
    ) -> Result<Verdict> {
        match self.method {
            Method::Content => {
                let pair = (source.clone(), destination.clone());
                let compared =
                    self.compare_at_hand(vec![pair], Some(counter)).await?.into_iter().next();
                let (verdict, _) = compared.ok_or_else(|| Error::unsupported("compare"))?;
                self.or_by_stream(verdict, source, destination).await
            }
            Method::Digest(algo) => self.compare_digests(source, destination, algo).await,
            Method::Download => self.download(source, destination, &counter).await,
            Method::Size | Method::None => Err(Error::unsupported("compare")),
        }
    }

    /// If too many files were open, the files are read as streams, which wait and try again.
    pub(super) async fn or_by_stream(
        &self,
        verdict: Verdict,
        source: &Entry,
        destination: &Entry,
    ) -> Result<Verdict> {
        match verdict {
            Verdict::Error(ErrorKind::Unavailable, ..) => {
                self.compare_digests(source, destination, HashAlgo::Blake3).await
            }
            verdict => Ok(verdict),
        }
    }

    pub(super) async fn compare_digests(
        &self,
        source: &Entry,
        destination: &Entry,
        algo: HashAlgo,
    ) -> Result<Verdict> {
        let _permit = self.permit().await?;
        let files = ((&self.source.backend, source), (&self.destination.backend, destination));
        let same = self.digests.same_content(files.0, files.1, algo, Memory::Counts).await;
        let evidence = |origin, algo| match origin {
            Origin::Content => Evidence::Digest(algo),
            Origin::Remembered => Evidence::Remembered(Some(algo)),
            Origin::Claimed => Evidence::Claimed(algo),
        };
        verdict(same.map(|same| (same.is_equal, evidence(same.origin, same.algo))))
    }

    /// Reads both files to their end, unless an interrupted run found them equal and both are still the same versions.
    pub(super) async fn download(
        &self,
        source: &Entry,
        destination: &Entry,
        counter: &AtomicU64,
    ) -> Result<Verdict> {
        let evidence = Evidence::Digest(HashAlgo::Blake3);
        let marks = self.settings.marks.as_ref().zip(self.fingerprint(source, destination));
        if let Some((marks, fingerprint)) = &marks
            && marks.is_marked(source.path.as_str(), *fingerprint)
        {
            self.report().resumed += 1;
            return Ok(Verdict::Equal(Evidence::Remembered(Some(HashAlgo::Blake3))));
        }
        let _permit = self.permit().await?;
        let bandwidth = self.bandwidth.as_ref();
        let left = read_digest(&self.source.backend, source, bandwidth, Some(counter));
        let right = read_digest(&self.destination.backend, destination, bandwidth, None);
        let (left, right) = tokio::join!(left, right);
        let mut same = left.and_then(|left| Ok((left, right?)));
        if let Ok((left, right)) = &same
            && left != right
        {
            // One of them may have been damaged during the download: it is read once more before the difference counts.
            let left = read_again(&self.source.backend, source, left, bandwidth);
            let right = read_again(&self.destination.backend, destination, right, bandwidth);
            let (left, right) = tokio::join!(left, right);
            same = left.and_then(|left| Ok((left, right?)));
        }
        let same = same.map(|(left, right)| (left == right, evidence));
        if let (Ok((true, _)), Some((marks, fingerprint))) = (&same, marks) {
            let (marks, key) = (Arc::clone(marks), source.path.to_string());
            let is_much = source.size.is_some_and(|size| size >= BATCHED_BYTES);
            blocking(move |_| {
                match is_much {
                    true => marks.mark_now(key, fingerprint),
                    false => marks.mark(key, fingerprint),
                }
                Ok(())
            })
            .await?;
        }
        verdict(same)
    }
}
