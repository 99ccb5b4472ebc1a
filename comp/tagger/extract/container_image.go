package extract

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// containerImage adds the tags of an image. An image has as many short names and tags
// as it has references.
func (x *Extractor) containerImage(b *builder, i *workloadmeta.ContainerImageMetadata) {
	b.add(ruleMetadataImageName, i.Name)
	for _, digest := range i.RepoDigests {
		repository, _, _ := strings.Cut(digest, "@sha256:")
		b.add(ruleMetadataShortImage, lastPart(repository))
	}
	for _, reference := range i.RepoTags {
		repository, tag := image.SplitRepoTag(reference)
		b.add(ruleMetadataShortImage, lastPart(repository))
		b.add(ruleMetadataImageTag, tag)
	}
	b.add(ruleOSName, i.OS)
	b.add(ruleOSVersion, i.OSVersion)
	b.add(ruleArchitecture, i.Architecture)
	x.labelTags(b, x.imageLabels, i.Labels)
}

func lastPart(repository string) string {
	return repository[strings.LastIndexByte(repository, '/')+1:]
}
