package extract

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// containerImage adds the tags of an image. An image has as many short names and tags
// as it has references.
func (x *Extractor) containerImage(b *builder, i *workloadmeta.ContainerImageMetadata) {
	b.add(ruleMetadataImageName, i.Name)
	for _, references := range [...][]string{i.RepoDigests, i.RepoTags} {
		for _, reference := range references {
			ref, err := image.Split(reference)
			if err != nil {
				continue // a bare digest
			}
			b.add(ruleMetadataShortImage, ref.ShortName)
			b.add(ruleMetadataImageTag, ref.Tag)
		}
	}
	b.add(ruleOSName, i.OS)
	b.add(ruleOSVersion, i.OSVersion)
	b.add(ruleArchitecture, i.Architecture)
	x.labelTags(b, x.imageLabels, i.Labels)
}
